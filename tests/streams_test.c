/* What the algebra finds: modes, accumulators, barriers and passes of the catalogue of theory §1 and §2, and
 * that the derived cascade means what the original means. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codegen/stream.h"
#include "dsl/oracle.h"
#include "dsl/parse.h"
#include "tests/tap.h"

#define RANKS "rank B, N, M, D, E\n"
#define SCORES                                                                                               \
	RANKS "in Q[B, N, D] : f32\nin K[B, M, D] : f32\nin V[B, M, E] : f32\n"                              \
	      "S[b,n,m] = Q[b,n,d] * K[b,m,d]\n"

/* Keys m of the row's own and keys p that pairs of batches share, under one denominator. */
#define SOURCES                                                                                              \
	"rank G, N, M, P, D, E\nin Q[2*G, N, D], K[2*G, M, D], V[2*G, M, E], KP[G, P, D], VP[G, P, E] : f32\n"    \
	"index b : 2*G\nS[b,n,m] = Q[b,n,d] * K[b,m,d] where m <= n + (M - N)\n"                             \
	"T[b,n,p] = Q[b,n,d] * KP[b/2,p,d]\n"

struct expect {
	const char *name, *text;
	const char *modes; /* "MODE tensor K" in order, ';' between; FREE ones left out */
	const char *rank;  /* whose passes are counted */
	int written, derived, fused;
	const char *reason; /* of the barrier: a part of the sentence */
	bool approx;
};

static const struct expect expect[] = {
        {"softmax attention", SCORES "out O[B, N, E] : f32\nO[b,n,e] = softmax[m](S) * V[b,m,e]\n",
         "RUN X3 1;DEFER O 1;RUN O 1", "M", 3, 2, 1, NULL, false},
        {"causal, log-sum-exp too",
         RANKS "in Q[B, N, D] : f32\nin K[B, M, D] : f32\nin V[B, M, E] : f32\nout O[B, N, E] : f32\nout "
               "L[B, N] : f32\n"
               "S[b,n,m] = Q[b,n,d] * K[b,m,d] where m <= n - 2\n"
               "P, L = softmax[m](S), logsumexp[m](S)\nO[b,n,e] = P[b,n,m] * V[b,m,e]\n",
         "RUN X4 1;DEFER O 1;RUN O 1", "M", 3, 2, 1, NULL, false},
        {"no max subtraction",
         SCORES "out O[B, N, E] : f32\nX[b,n,m] = exp(S)\nZ[b,n] = sum[m](X)\nO[b,n,e] = X[b,n,m] / Z[b,n] * "
                "V[b,m,e]\n",
         "DEFER O 1", "M", 2, 1, 1, NULL, false},
        {"base 2 with log-sum-exp",
         SCORES "out O[B, N, E] : f32\nout L[B, N] : f32\nX[b,n] = max[m](S)\nP[b,n,m] = exp2(S - X)\nZ[b,n] "
                "= sum[m](P)\n"
                "L[b,n] = X + log2(Z)\nO[b,n,e] = exp2(S[b,n,m] - L[b,n]) * V[b,m,e]\n",
         "RUN Z 1;DEFER O 1;RUN O 1", "M", 3, 2, 1, NULL, false},
        {"sink logit",
         SCORES
         "in sink[B] : f32\nout O[B, N, E] : f32\nX[b,n] = max(max[m](S), sink[b])\nP[b,n,m] = exp(S - X)\n"
         "Z[b,n] = sum[m](P) + exp(sink[b] - X[b,n])\nO[b,n,e] = P[b,n,m] / Z[b,n] * V[b,m,e]\n",
         "RUN X2 1;DEFER O 1;RUN O 1", "M", 3, 2, 1, NULL, false},
        {"sigmoid", SCORES "out O[B, N, E] : f32\nO[b,n,e] = sigmoid(S[b,n,m]) * V[b,m,e]\n", "", "M", 1, 1,
         1, NULL, false},
        {"sigmoid, L1 norm",
         SCORES "out O[B, N, E] : f32\nP[b,n,m] = sigmoid(S)\nZ[b,n] = sum[m](P)\nO[b,n,e] = P[b,n,m] / "
                "Z[b,n] * V[b,m,e]\n",
         "DEFER O 1", "M", 2, 1, 1, NULL, false},
        {"clamp of retention",
         SCORES
         "out O[B, N, E] : f32\nZ[b,n] = sum[m](S)\nO[b,n,e] = S[b,n,m] / max(abs(Z[b,n]), 1) * V[b,m,e]\n",
         "DEFER O 1", "M", 2, 1, 1, NULL, false},
        {"root of the sum of squares",
         SCORES
         "out O[B, N, E] : f32\nZ[b,n] = sqrt(sum[m](S * S))\nO[b,n,e] = S[b,n,m] / Z[b,n] * V[b,m,e]\n",
         "DEFER O 1", "M", 2, 1, 1, NULL, false},
        {"entropy, shifted",
         SCORES "out C[B, N] : f32\nX[b,n] = max[m](S)\nZ[b,n] = sum[m](exp(S - X))\n"
                "A[b,n] = sum[m]((S - X) * exp(S - X))\nC[b,n] = log(Z) - A / Z\n",
         "RUN Z 1;EQUIV A 2", "M", 2, 2, 1, NULL, false},
        {"entropy of the probabilities",
         SCORES "out C[B, N] : f32\nP[b,n,m] = softmax[m](S)\nC[b,n] = -sum[m](P * log(P))\n",
         "RUN X3 1;EXPAND X4 2;EQUIV X4 2", "M", 3, 2, 1, NULL, false},
        {"variance",
         "rank N, M\nin X[N, M] : f32\nout C[N] : f32\nU[n] = mean[m](X)\nC[n] = mean[m]((X[n,m] - U[n]) * "
         "(X[n,m] - U[n]))\n",
         "EQUIV X2 3", "M", 2, 2, 1, NULL, false},
        {"layer norm", "rank N, M\nin X[N, M] : f32\nout Y[N, M] : f32\nY[n,m] = layernorm[m](X)\n",
         "EQUIV X3 3", "M", 3, 3, 2, NULL, false},
        {"layer norm by moments",
         "rank N, M\nin X[N, M] : f32\nout Y[N, M] : f32\nU[n] = mean[m](X)\nW[n] = mean[m](X * X)\n"
         "Y[n,m] = (X[n,m] - U[n]) * rsqrt(W[n] - U[n] * U[n] + 1)\n",
         "", "M", 2, 2, 2, NULL, false},
        {"layer norm, then a product",
         "rank N, M, F\nin X[N, M] : f32\nin A[M] : f32\nin W[M, F] : f32\nout Y[N, F] : f32\n"
         "T[n,m] = layernorm[m](X) * A[m]\nY[n,f] = T[n,m] * W[m,f]\n",
         "EQUIV X3 3;DEFER Y 1;EXPAND Y 2", "M", 3, 2, 1, NULL, false},
        {"rms norm, then a product",
         "rank N, M, F\nin X[N, M] : f32\nin W[M, F] : f32\nout Y[N, F] : f32\nT[n,m] = "
         "rmsnorm[m](X)\nY[n,f] = T[n,m] * W[m,f]\n",
         "DEFER Y 1", "M", 2, 1, 1, NULL, false},
        {"largest probability", SCORES "out C[B, N] : f32\nP[b,n,m] = softmax[m](S)\nC[b,n] = max[m](P)\n",
         "RUN X3 1;COMMUTE C 1", "M", 3, 2, 1, NULL, false},
        {"column sums",
         SCORES
         "out O[B, N, E] : f32\nout C[B, M] : f32\nP[b,n,m] = softmax[m](S)\nO[b,n,e] = P[b,n,m] * V[b,m,e]\n"
         "C[b,m] = sum[n](P)\n",
         "RUN X3 1;DEFER O 1;RUN O 1;BARRIER C 0", "M", 3, 3, 2, "along m again", false},
        {"temperature from a row mean",
         SCORES
         "in R[B, M, D] : f32\nout O[B, N, E] : f32\nS2[b,n,m] = Q[b,n,d] * R[b,m,d]\nT[b,n] = mean[m](S2)\n"
         "P[b,n,m] = softmax[m](S / T)\nO[b,n,e] = P[b,n,m] * V[b,m,e]\n",
         NULL, "M", 4, 3, 2, "S[b,n,m] / T[b,n]", false},
        {"distance from the mean",
         "rank N, M\nin X[N, M] : f32\nout C[N] : f32\nU[n] = mean[m](X)\nC[n] = sum[m](abs(X[n,m] - "
         "U[n]))\n",
         "BARRIER C 0", "M", 2, 2, 2, "abs(X[n,m] - U[n])", false},
        {"sigmoid of a shifted score",
         "rank N, M\nin X[N, M] : f32\nout C[N] : f32\nU[n] = max[m](X)\nC[n] = sum[m](sigmoid(X[n,m] - "
         "U[n]))\n",
         "BARRIER C 0", "M", 2, 2, 2, "sigmoid(X[n,m] - U[n])", false},
        {"exponent that mixes",
         "rank N, M\nin X[N, M] : f32\nout C[N] : f32\nU[n] = sum[m](X)\nC[n] = sum[m](exp(X[n,m] * U[n]))\n",
         "BARRIER C 0", "M", 2, 2, 2, "X[n,m] * U[n]", false},
        {"scaled and rounded, exact",
         "rank N, M, F\nin X[N, M] : f32\nin W[M, F] : f32\nout Y[N, F] : f32\nA[n] = max[m](abs(X))\n"
         "Y[n,f] = sum[m](i8(X[n,m] * 127 / A[n]) * W[m,f]) * A[n] / 127\n",
         NULL, "M", 2, 2, 2, "rounds", false},
        {"scaled and rounded, approximately",
         "rank N, M, F\nin X[N, M] : f32\nin W[M, F] : f32\nout Y[N, F] : f32\nA[n] = max[m](abs(X))\n"
         "Y[n,f] = sum[m](i8(X[n,m] * 127 / A[n]) * W[m,f]) * A[n] / 127\n",
         "APPROX X1 1", "M", 2, 2, 1, NULL, true},
        {"two-level, over tiles of keys",
         "rank N, T, I, D, E\nin Q[N, D] : f32\nin K[T, I, D] : f32\nin V[T, I, E] : f32\nout O[N, E] : f32\n"
         "S[n,t,i] = Q[n,d] * K[t,i,d]\nLM[n,t] = max[i](S)\nGM[n] = max[t](LM)\nSLN[n,t,i] = exp(S - LM)\n"
         "SLD[n,t] = sum[i](SLN)\nR[n,t] = exp(LM[n,t] - GM[n])\nGD[n] = sum[t](SLD * R)\n"
         "A[n,t,i] = SLN[n,t,i] * R[n,t] / GD[n]\nO[n,e] = A[n,t,i] * V[t,i,e]\n",
         NULL, "T", 3, 0, 0, NULL, false},
        {"backward's row sums, with O at hand",
         SCORES "in G[B, N, E] : f32\nout O[B, N, E] : f32\nout C[B, N] : f32\nP[b,n,m] = softmax[m](S)\n"
                "O[b,n,e] = P[b,n,m] * V[b,m,e]\nR[b,n,m] = G[b,n,e] * V[b,m,e]\nC[b,n] = sum[m](P * R)\n",
         "RUN X3 1;DEFER O 1;RUN O 1;REASSOC C 1", "M", 3, 2, 1, NULL, false},
        {"probabilities wanted",
         SCORES "out P[B, N, M] : f32\nout R[B, N] : f32\nR[b,n] = max[m](S)\nP[b,n,m] = S[b,n,m] + "
                "exp(S[b,n,m] - R[b,n])\n",
         "", "M", 2, 2, 2, NULL, false},
        {"two sources under one maximum",
         SOURCES "out O[2*G, N, E] : f32\nX[b,n] = max(max[m](S), max[p](T))\nW[b,n,m] = exp(S - X)\n"
                 "U[b,n,p] = exp(T - X)\nZ[b,n] = sum[m](W) + sum[p](U)\n"
                 "O[b,n,e] = (sum[m](W * V[b,m,e]) + sum[p](U * VP[b/2,p,e])) / Z\n",
         "RUN X4 1;ANCHOR X5 1;RUN X5 1;RUN X6 1;ANCHOR X7 1;RUN X7 1", "P", 2, 2, 1, NULL, false},
        {"two sources, normalised weights",
         SOURCES "out O[2*G, N, E] : f32\nX[b,n] = max(max[m](S), max[p](T))\n"
                 "Z[b,n] = sum[m](exp(S - X)) + sum[p](exp(T - X))\n"
                 "O[b,n,e] = sum[m](exp(S - X) / Z * V[b,m,e]) + sum[p](exp(T - X) / Z * VP[b/2,p,e])\n",
         NULL, "P", 3, 2, 1, NULL, false},
        {"two sources, by log-sum-exp",
         SOURCES "out O[2*G, N, E] : f32\nout L[2*G, N] : f32\nX[b,n] = max(max[m](S), max[p](T))\n"
                 "L[b,n] = X + log(sum[m](exp(S - X)) + sum[p](exp(T - X)))\n"
                 "O[b,n,e] = sum[m](exp(S - L) * V[b,m,e]) + sum[p](exp(T - L) * VP[b/2,p,e])\n",
         NULL, "P", 3, 2, 1, NULL, false},
        {"two sources, the entropy",
         SOURCES "out C[2*G, N] : f32\nX[b,n] = max(max[m](S), max[p](T))\n"
                 "Z[b,n] = sum[m](exp(S - X)) + sum[p](exp(T - X))\n"
                 "A[b,n] = sum[m]((S - X) * exp(S - X)) + sum[p]((T - X) * exp(T - X))\nC[b,n] = log(Z) - A / Z\n",
         NULL, "P", 2, 2, 1, NULL, false},
        {"two sources, the largest probability",
         SOURCES "out C[2*G, N] : f32\nX[b,n] = max(max[m](S), max[p](T))\n"
                 "Z[b,n] = sum[m](exp(S - X)) + sum[p](exp(T - X))\n"
                 "C[b,n] = max(max[m](exp(S - X) / Z), max[p](exp(T - X) / Z))\n",
         NULL, "P", 3, 2, 1, NULL, false},
        {"two sources, the variance",
         "rank B, N, M, P\nin X[B, N, M], Y[B, N, P] : f32\nout C[B, N] : f32\n"
         "U[b,n] = (sum[m](X) + sum[p](Y)) / (M + P + 1)\n"
         "C[b,n] = sum[m]((X - U) * (X - U)) + sum[p]((Y - U) * (Y - U))\n",
         NULL, "P", 2, 1, 1, NULL, false},
        {"two sources, no maximum of their own",
         SOURCES "out C[2*G, N] : f32\nX[b,n] = max(max[m](S), max[p](T))\n"
                 "C[b,n] = sum[p](sigmoid(T - X)) + sum[m](S)\n",
         NULL, "P", 2, 2, 2, "sigmoid(T[b,n,p] - X[b,n])", false},
        {"three sources",
         SOURCES "rank R\nin KR[R, D], VR[R, E] : f32\nA[b,n,r] = Q[b,n,d] * KR[r,d]\n"
                 "out O[2*G, N, E] : f32\nX[b,n] = max(max(max[m](S), max[p](T)), max[r](A))\n"
                 "Z[b,n] = sum[m](exp(S - X)) + sum[p](exp(T - X)) + sum[r](exp(A - X))\n"
                 "O[b,n,e] = (sum[m](exp(S - X) * V[b,m,e]) + sum[p](exp(T - X) * VP[b/2,p,e]) + "
                 "sum[r](exp(A - X) * VR[r,e])) / Z\n",
         NULL, "R", 2, 2, 1, NULL, false},
        {"two differences of softmaxes",
         SCORES "in R[B, N, D] : f32\nout O[B, N, E] : f32\nS2[b,n,m] = R[b,n,d] * K[b,m,d]\n"
                "P[b,n,m] = softmax[m](S) - 0.5 * softmax[m](S2)\nO[b,n,e] = P[b,n,m] * V[b,m,e]\n",
         NULL, "M", 3, 2, 1, NULL, false},
};
enum { EXPECTS = sizeof expect / sizeof *expect };

#define HEADS "rank B, H, N, M, D, E\nin Q[B, H, N, D], K[B, H, M, D] : f32\nin V[B, H, M, E] : f32\n"
#define DOT "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d]\n"

/* Held to the original only; `streams`: how many there are. */
static const struct {
	const char *name;
	uint32_t streams;
	const char *text;
} more[] = {
        {"normalised and rotated queries and keys", 8,
         HEADS "in pos[N], kpos[M] : i32\nout O[B, H, N, E] : f32\nQ2[b,h,n,d] = "
               "rope[d](rmsnorm[d](Q[b,h,n,d]); pos[n])\n"
               "K2[b,h,m,d] = rope[d](rmsnorm[d](K[b,h,m,d]); kpos[m])\nS[b,h,n,m] = Q2[b,h,n,d] * "
               "K2[b,h,m,d] where m <= n\n"
               "O[b,h,n,e] = softmax[m](S) * V[b,h,m,e]\n"},
        {"angles by coordinate, for every head: a table of them and one of their frequencies", 4,
         HEADS "out O[B, H, N, E] : f32\nT[b,h,n,d] = Q[b,h,n,d] * cos(n * pow(10, -d / 8))\n"
               "S[b,h,n,m] = T[b,h,n,d] * K[b,h,m,d]\nO[b,h,n,e] = softmax[m](S) * V[b,h,m,e]\n"},
        {"a decay of what a tile computes stays in it", 1,
         HEADS "in slope[H] : f32\nout O[B, H, N, E] : f32\n"
               "S[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] * exp(-slope[h] * abs(n - m))\n"
               "O[b,h,n,e] = softmax[m](S) * V[b,h,m,e]\n"},
        {"scores of two parts", 1,
         HEADS "rank R\nin QR[B, H, N, R] : f32\nin KR[B, M, R] : f32\nout O[B, H, N, E] : f32\n"
               "S[b,h,n,m] = (sum[d](Q[b,h,n,d] * K[b,h,m,d]) + sum[r](QR[b,h,n,r] * KR[b,m,r])) * 0.1 where "
               "m <= n\n"
               "O[b,h,n,e] = softmax[m](S) * V[b,h,m,e]\n"},
        {"chain of products", 1,
         "rank I, J, K, L\nin A[I, K], B[K, J], C[J, L] : f32\nout Z[I, L] : f32\nT[i,j] = A[i,k] * B[k,j]\n"
         "Z[i,l] = relu(T[i,j]) * C[j,l]\n"},
        {"attention, then a projection", 2,
         HEADS "rank F\nin W[H, E, F] : f32\nout Y[B, N, F] : f32\n" DOT
               "O[b,h,n,e] = softmax[m](S) * V[b,h,m,e]\nY[b,n,f] = sum[h,e](O[b,h,n,e] * W[h,e,f])\n"},
        {"talking heads", 2,
         HEADS "index g : H\nin W[H, H] : f32\nout O[B, H, N, E] : f32\n" DOT
               "T[b,h,n,m] = sum[g](S[b,g,n,m] * W[g,h])\nO[b,h,n,e] = softmax[m](T) * V[b,h,m,e]\n"},
        {"linear attention", 2,
         HEADS "out O[B, H, N, E] : f32\nKV[b,h,d,e] = softplus(K[b,h,m,d]) * V[b,h,m,e]\n"
               "Z[b,h,d] = sum[m](softplus(K[b,h,m,d]))\n"
               "O[b,h,n,e] = sum[d](softplus(Q[b,h,n,d]) * KV[b,h,d,e]) / (1 + sum[d](softplus(Q[b,h,n,d]) * "
               "Z[b,h,d]))\n"},
        {"probabilities as an output", 2,
         HEADS "out P[B, H, N, M] : f32\nout O[B, H, N, E] : f32\n" DOT "P[b,h,n,m] = softmax[m](S)\n"
               "O[b,h,n,e] = P[b,h,n,m] * V[b,h,m,e]\n"},
        {"cosine similarity", 3,
         HEADS
         "out O[B, H, N, E] : f32\nS[b,h,n,m] = sum[d](l2norm[d](Q[b,h,n,d]) * l2norm[d](K[b,h,m,d])) * 10\n"
         "O[b,h,n,e] = softmax[m](S) * V[b,h,m,e]\n"},
        {"a product", 1,
         "rank N, M, D\nin A[N, D], B[D, M] : f32\nout Y[N, M] : f32\nY[n,m] = A[n,d] * B[d,m]\n"},
        {"keys of two tensors, end to end", 1,
         "rank G, N, M, P, D, E\nindex c : P + M\nindex b : 2*G\nin Q[2*G, N, D], K[2*G, M, D], V[2*G, M, E] : f32\n"
         "in KP[G, P, D], VP[G, P, E] : f32\nout O[2*G, N, E] : f32\nA[b,c,d] = (KP[b/2,c,d] else K[b,c-P,d])\n"
         "S[b,n,c] = Q[b,n,d] * A[b,c,d] where c - P <= n + (M - N)\n"
         "O[b,n,e] = softmax[c](S) * (VP[b/2,c,e] else V[b,c-P,e])\n"},
        {"keys of three tensors, end to end", 1,
         "rank B, N, M, P, R, D, E\nindex c : P + M + R\nin Q[B, N, D], K[B, M, D], V[B, M, E] : f32\n"
         "in KP[P, D], VP[P, E], KR[R, D], VR[R, E] : f32\nout O[B, N, E] : f32\n"
         "A[b,c,d] = ((KP[c,d] else K[b,c-P,d]) else KR[c-P-M,d])\nS[b,n,c] = Q[b,n,d] * A[b,c,d]\n"
         "O[b,n,e] = softmax[c](S) * ((VP[c,e] else V[b,c-P,e]) else VR[c-P-M,e])\n"},
        {"two regions of one index under one denominator", 2,
         HEADS "in L[M, N] : f32\nout O[B, H, N, E] : f32\nS[b,h,n,m] = Q[b,h,n,d] * K[b,h,m,d] where m <= n and n - m < 3\n"
               "T[n,m] = L[m,n] * L[m,n] where 3 <= n - m\nX[b,h,n] = max[m](S)\nZ[b,h,n] = sum[m](exp(S - X)) + sum[m](T)\n"
               "O[b,h,n,e] = sum[m](exp(S - X) / Z * V[b,h,m,e]) + sum[m](T / Z * V[b,h,m,e])\n"},
        {"a query projected before it meets latent keys", 3,
         "rank B, H, N, M, D, E\nin Q[B, H, N, D], C[B, M, E], W[H, D, E], U[H, E, D] : f32\nout O[B, H, N, D] : f32\n"
         "index f : D\nA[b,h,n,e] = Q[b,h,n,d] * W[h,d,e]\nS[b,h,n,m] = A[b,h,n,e] * C[b,m,e]\n"
         "Y[b,h,n,e] = softmax[m](S) * C[b,m,e]\nO[b,h,n,d] = Y[b,h,n,e] * U[h,e,d]\n"},
        {"a mean over what is present", 1,
         "rank B, N, E\nin X[B, N, E] : f32\nin len[B] : i32\nout Y[B, E] : f32\nY[b,e] = mean[n](X[b,n,e]) "
         "where n < len[b]\n"},
};

static struct cascade *parse(struct arena *a, const char *text, size_t n)
{
	struct diags d;
	struct text t;
	diags_init(&d, a, "case.att", text, n);
	struct cascade *c = cascade_parse(a, text, n, NULL, 0, &d);
	text_init(&t, a);
	diags_print(&d, &t);
	if (!c)
		printf("# %s\n", t.s);
	return c;
}

static struct cascade *parse_case(struct arena *a, const struct expect *e)
{
	char *text = arena_printf(a, "kernel test\n%s", e->text);
	return parse(a, text, strlen(text));
}

static void modes_of(const struct cascade *c, const struct streams *s, struct text *t)
{
	for (uint32_t i = 0; i < s->rewrite.n; i++) {
		const struct rewrite *r = &s->rewrite.v[i];
		if (r->mode != MODE_FREE)
			text_printf(t, "%s%s %s %d", t->len ? ";" : "", mode_name[r->mode],
			            c->tensor.v[r->tensor].name, r->accumulators);
	}
}

static void check_expected(const struct expect *e)
{
	struct arena a;
	struct text modes;
	arena_init(&a);
	struct cascade *c = parse_case(&a, e);
	if (!ok(c != NULL, "%s: parses", e->name))
		return;
	struct streams *s = streams_derive(&a, c, &(struct stream_options){.approx = e->approx});
	text_init(&modes, &a);
	modes_of(c, s, &modes);
	if (e->modes)
		ok(!strcmp(modes.s, e->modes), "%s: %s", e->name, modes.s);
	uint32_t rank = cascade_find_rank(c, e->rank);
	int written = passes_over(&a, c, rank, NULL, 0), fused = passes_fused(s, rank);
	int derived = passes_over(&a, s->cascade, cascade_find_rank(s->cascade, e->rank), NULL, 0);
	ok(written == e->written, "%s: %d passes as written", e->name, written);
	if (e->fused)
		ok(derived == e->derived && fused == e->fused, "%s: %d passes derived, %d fused", e->name,
		   derived, fused);
	if (e->reason) {
		const char *reason = "none";
		for (uint32_t i = 0; i < s->rewrite.n; i++)
			if (s->rewrite.v[i].mode == MODE_BARRIER)
				reason = s->rewrite.v[i].reason;
		ok(strstr(reason, e->reason) != NULL, "%s: %s", e->name, reason);
	}
	arena_free(&a);
}

/* The derived cascade against the original. */

static uint64_t random_state = 1;
static uint32_t random_below(uint32_t n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)((random_state >> 33) % n);
}

static int64_t count_of(const struct cascade *c, uint32_t t)
{
	int64_t n = 1, extent = 0;
	for (int i = 0; i < c->tensor.v[t].nranks; i++) {
		cascade_extent(c, c->tensor.v[t].extent[i], &extent);
		n *= extent;
	}
	return n;
}

static struct oracle_tensor *inputs(struct arena *a, const struct cascade *c)
{
	struct oracle_tensor *t = arena_new_array(a, c->tensor.n, struct oracle_tensor);
	for (uint32_t i = 0; i < c->tensor.n; i++) {
		if (c->tensor.v[i].role != ROLE_IN)
			continue;
		t[i].count = count_of(c, i);
		t[i].data = arena_new_array(a, (size_t)t[i].count + 1, double);
		for (int64_t k = 0; k < t[i].count; k++)
			t[i].data[k] = dtype_info[c->tensor.v[i].dtype].integer
			                       ? random_below(3)
			                       : random_below(4001) / 1000.0 - 2;
	}
	return t;
}

static bool run(struct arena *a, struct cascade *c, struct oracle_tensor *t)
{
	struct diags d;
	struct text text;
	diags_init(&d, a, "oracle", "", 0);
	if (oracle_run(a, c, t, (size_t)1 << 28, &d))
		return true;
	text_init(&text, a);
	diags_print(&d, &text);
	printf("# %s\n", text.s);
	return false;
}

/* The largest error relative to the tensor's largest finite value; infinities must agree. */
static double error_of(const struct oracle_tensor *a, const struct oracle_tensor *b)
{
	double scale = 1e-300, worst = 0;
	for (int64_t i = 0; i < a->count; i++)
		if (isfinite(a->data[i]))
			scale = fmax(scale, fabs(a->data[i]));
	scale = fmax(scale, 1e-3);
	for (int64_t i = 0; i < a->count; i++) {
		double x = a->data[i], y = b->data[i];
		if (isnan(x) && isnan(y))
			continue;
		double e = x == y ? 0 : isfinite(x) && isfinite(y) ? fabs(x - y) / scale : INFINITY;
		worst = fmax(worst, e);
	}
	return worst;
}

static double difference(struct arena *a, struct cascade *c, struct streams *s)
{
	struct oracle_tensor *t = inputs(a, c);
	struct oracle_tensor *u = arena_new_array(a, s->cascade->tensor.n, struct oracle_tensor);
	double worst = 0;
	for (uint32_t i = 0; i < s->cascade->tensor.n; i++)
		if (s->cascade->tensor.v[i].role == ROLE_IN)
			u[i] = t[cascade_find_tensor(c, s->cascade->tensor.v[i].name)];
	if (!run(a, c, t) || !run(a, s->cascade, u))
		return INFINITY;
	for (uint32_t i = 0; i < c->tensor.n; i++)
		if (c->tensor.v[i].role == ROLE_OUT)
			worst = fmax(
			        worst,
			        error_of(&t[i], &u[cascade_find_tensor(s->cascade, c->tensor.v[i].name)]));
	return worst;
}

/* Every equation has one place, every stream reads what stands before it. */
static const char *misplaced(struct arena *a, const struct streams *s)
{
	const struct cascade *c = s->cascade;
	int *kind = arena_new_array(a, c->equation.n, int);
	for (uint32_t i = 0; i < s->stream.n; i++) {
		const struct stream *at = &s->stream.v[i];
		for (uint32_t k = 0; k < at->carry.n; k++) {
			const struct equation *q = &c->equation.v[at->carry.v[k].equation];
			if (kind[at->carry.v[k].equation]++)
				return "a carry of two streams";
			if (q->nreduced != 1 || q->reduced[0] != at->index)
				return "a carry that is not reduced along its stream";
			for (uint32_t r = 0; r < at->row.n; r++) {
				bool has = false;
				for (int n = 0; n < q->nindex; n++)
					has |= q->index[n] == at->row.v[r];
				if (!has)
					return "a carry without one of the rows";
			}
			for (int t = 0; t < at->carry.v[k].terms; t++)
				if (at->carry.v[k].term[t].carry > k)
					return "a correction by a later carry";
			for (uint32_t m = k + 1; m < at->carry.n; m++)
				if (expr_mentions(&c->pool, q->body, OP_READ,
				                  c->equation.v[at->carry.v[m].equation].tensor))
					return "a carry that reads a later one";
		}
		for (uint32_t k = 0; k < at->after.n; k++)
			if (kind[at->after.v[k]]++)
				return "an equation after two streams";
		for (uint32_t k = 0; k < at->local.n; k++) {
			kind[at->local.v[k]] = 1;
			for (uint32_t m = 0; m < k; m++)
				if (at->local.v[m] == at->local.v[k])
					return "a local that is there twice";
		}
	}
	for (uint32_t i = 0; i < c->equation.n; i++)
		if (!kind[i])
			return c->tensor.v[c->equation.v[i].tensor].name;
	return NULL;
}

/* print(parse(print(s))) == print(s), and what was read back means the same. */
static const char *text_fault(struct arena *a, struct cascade *c, const struct streams *s)
{
	struct text once, twice;
	struct diags d;
	text_init(&once, a);
	text_init(&twice, a);
	streams_print(s, &once);
	diags_init(&d, a, "streams", once.s, once.len);
	struct streams *back = streams_parse(a, once.s, once.len, &d);
	if (!back) {
		diags_print(&d, &twice);
		return twice.s;
	}
	streams_print(back, &twice);
	if (strcmp(once.s, twice.s))
		return twice.s;
	return difference(a, c, back) <= 1e-9 ? NULL : "the text means something else";
}

static void check_meaning(const char *name, struct arena *a, struct cascade *c)
{
	static const int64_t extent[][8] = {{1, 3, 5, 2, 4, 3, 2, 2},
	                                    {2, 1, 7, 3, 1, 2, 5, 4},
	                                    {1, 4, 1, 2, 3, 2, 1, 1},
	                                    {1, 2, 0, 3, 2, 2, 0, 3},
	                                    {2, 5, 9, 4, 3, 4, 3, 2}};
	double worst[2] = {0};
	for (size_t k = 0; k < sizeof extent / sizeof *extent; k++)
		for (int unfused = 0; unfused < 2; unfused++) {
			struct cascade *bound = cascade_clone(a, c);
			for (uint32_t r = 0; r < c->rank.n; r++)
				if (c->rank.v[r].extent == NOT_BOUND)
					bound->rank.v[r].extent =
					        extent[k][r % 8] * (strcmp(c->rank.v[r].name, "H") ? 1 : 4);
			struct streams *s =
			        streams_derive(a, bound, &(struct stream_options){.unfused = unfused});
			const char *bad = misplaced(a, s);
			if (!bad)
				bad = text_fault(a, bound, s);
			if (bad)
				printf("# %s: %s\n", name, bad);
			double e = bad ? INFINITY : difference(a, bound, s);
			if (!(e <= 1e-9))
				printf("# %s: extents %zu, unfused %d: %g\n", name, k, unfused, e);
			worst[unfused] = fmax(worst[unfused], e);
		}
	ok(worst[0] <= 1e-9 && worst[1] <= 1e-9, "%s: derived means the same (%.1e, unfused %.1e)", name,
	   worst[0], worst[1]);
}

static const char *const example[] = {
        "flash_causal_gqa",  "cross_attention", "sliding_window_sink", "alibi_softcap",   "document_mask",
        "sigmoid_attention", "layernorm_gemm",  "row_entropy",         "h2o_column_sums",
};

static void check_examples(void)
{
	for (size_t i = 0; i < sizeof example / sizeof *example; i++) {
		struct arena a;
		arena_init(&a);
		static char source[1 << 16];
		FILE *f = fopen(arena_printf(&a, "examples/%s.att", example[i]), "r");
		size_t n = f ? fread(source, 1, sizeof source, f) : 0;
		if (f)
			fclose(f);
		struct cascade *c = parse(&a, source, n);
		if (ok(c != NULL, "%s.att parses", example[i]))
			check_meaning(example[i], &a, c);
		arena_free(&a);
	}
}

int main(void)
{
	for (size_t i = 0; i < EXPECTS; i++)
		check_expected(&expect[i]);
	for (size_t i = 0; i < EXPECTS; i++) {
		struct arena a;
		arena_init(&a);
		struct cascade *c = parse_case(&a, &expect[i]);
		if (c)
			check_meaning(expect[i].name, &a, c);
		arena_free(&a);
	}
	for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
		struct arena a;
		arena_init(&a);
		char *text = arena_printf(&a, "kernel test\n%s", more[i].text);
		struct cascade *c = parse(&a, text, strlen(text));
		if (ok(c != NULL, "%s: parses", more[i].name)) {
			uint32_t n = streams_derive(&a, c, NULL)->stream.n;
			ok(n == more[i].streams, "%s: %u streams", more[i].name, n);
			check_meaning(more[i].name, &a, c);
		}
		arena_free(&a);
	}
	check_examples();
	return tap_done();
}
