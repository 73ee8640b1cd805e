/* emit_programs.h: tile programs for emit_test.c, each for what its name says. */

struct shape {
	int n, m, d, e;
	int ahead, back; /* present: m < n + ahead and n - m <= back */
	const char *keys;
};

/* Grouped-query attention with a window, as one would write it by hand. */
__attribute__((unused)) static struct text attention_text(struct arena *a, struct shape s, int lanes)
{
	struct text t;
	text_init(&t, a);
	text_printf(&t,
	            "program attention : f32\n| a schedule\nindex b : 2\nindex h : 4\nindex n : %d\nindex m "
	            ": %d\n"
	            "index d : %d\nindex e : %d\nindex h_kv : 2\n",
	            s.n, s.m, s.d, s.e);
	text_printf(&t, "in Q[2, 4, %d, %d] : f32\nin K[2, 2, %d, %d] : %s\nin V[2, 2, %d, %d] : f32\n", s.n,
	            s.d, s.m, s.d, s.keys, s.m, s.e);
	text_printf(&t,
	            "out O[2, 4, %d, %d] : f32\nout L[2, 4, %d] : f32\nwork Kp[2, 2, %d, %d] : f32 panel %d "
	            "of 2\n",
	            s.n, s.e, s.n, s.m, s.d, 64);
	text_printf(&t,
	            "value k[m:64, d:%d] : f32\nvalue q[n:48, d:%d] : f32\nvalue x1[n:48] : f32\nvalue "
	            "x3[n:48] : f32\n"
	            "value y[n:48, e:%d] : f32\nvalue s[n:6, m:128] : f32\nvalue t[n:6] : f32\nvalue r[n:6] "
	            ": f32\n"
	            "value c[n:6] : f32\nvalue x2[n:6, m:128] : f32\nvalue u[n:6] : f32\n",
	            s.d, s.d, s.e);
	text_printf(&t,
	            "phase pack\n  task b by 1\n  task h_kv by 1\n  task m by 64\n  k = load K[b,h_kv,m,d]\n"
	            "  store Kp[b,h_kv,m,d] = k\n"
	            "phase main\n  task b by 1\n  task h by 1\n  task n by 48 down\n"
	            "  q = load Q[b,h,n,d] * 0.125\n  x1 = map -inf\n  x3 = map 0\n  y = map 0\n"
	            "  for m by 128 from max(0, low(n) - %d) // 128 * 128 to high(n) + %d\n"
	            "    for n by 6 from low(n) to high(n) + 1\n"
	            "      if high(m) < low(n) + %d and high(n) - low(m) <= %d\n",
	            s.back, s.ahead, s.ahead, s.back);
	for (int partial = 0; partial < 2; partial++) {
		if (partial)
			text_printf(&t,
			            "      else\n        narrow m by 64 from low(n) - %d to high(n) + %d\n",
			            s.back, s.ahead);
		text_printf(&t, "        s = contract q, Kp[b,h/2,m,d] over d rows n:6 lanes m:%d\n", lanes);
		if (partial)
			text_printf(&t, "        s = map select(m < n + %d and n - m <= %d, s, -inf)\n",
			            s.ahead, s.back);
		text_printf(
		        &t,
		        "        t = reduce max over m of s\n        r = map max(x1, t)\n"
		        "        c = map select(r == -inf, 0, exp(x1 - r))\n        x2 = map %sexp(s - r)%s\n"
		        "        u = reduce sum over m of x2\n        x3 = map x3 * c + u\n"
		        "        y = contract x2, V[b,h/2,m,e] over m rows n:6 lanes e:%d accumulate scale "
		        "c\n"
		        "        x1 = map r\n",
		        partial ? "select(r == -inf, 0, " : "", partial ? ")" : "", lanes);
	}
	text_add(&t, "  store O[b,h,n,e] = select(x3 != 0, y / x3, 0)\n"
	             "  store L[b,h,n] = select(x3 != 0, log(x3) + x1, -inf)\n");
	return t;
}

/* Products of rows of two matrices, and of rows with columns, as a narrow type: all of them, and added to what there is. */
__attribute__((unused)) static struct text products_text(struct arena *a, const char *type, struct shape s, int lanes)
{
	bool whole = !strcmp(type, "i8");
	int group = whole ? 4 : 2;
	struct text t;
	text_init(&t, a);
	text_printf(&t, "program products : f32\nindex n : %d\nindex m : %d\nindex d : %d\nindex e : %d\n", s.n, s.m, s.d, s.e);
	text_printf(&t, "in Q8[%d, %d] : %s\nin K8[%d, %d] : %s\nin V8[%d, %d] : %s\nin P8[%d, %d] : %s\n", s.n, s.d, type, s.m,
	            s.d, type, s.m, s.e, type, s.n, s.m, type);
	text_printf(&t, "out S[%d, %d] : f32\nout Y[%d, %d] : f32\n", s.n, s.m, s.n, s.e);
	text_printf(&t, "work Kp[%d, %d] : %s panel 64 of 0 by %d\nwork Vp[%d, %d] : %s panel 64 of 0 by %d\n", s.m, s.d, type,
	            group, s.e, s.m, type, group);
	text_printf(&t, "value k[m:64, d:%d] : %s\nvalue v[m:32, e:%d] : %s\nvalue q[n:12, d:%d] : %s\nvalue p[n:6, m:128] : %s\n",
	            s.d, type, s.e, type, s.d, type, type);
	text_printf(&t, "value s[n:6, m:128] : %s\nvalue y[n:12, e:%d] : %s\n", whole ? "i32" : "f32", s.e, whole ? "i32" : "f32");
	text_printf(&t,
	            "phase pack_k\n  task m by 64\n  k = load K8[m,d]\n  store Kp[m,d] = k\n"
	            "phase pack_v\n  task m by 32\n  v = load V8[m,e]\n  store Vp[e,m] = v\n"
	            "phase main\n  task n by 12\n  q = load Q8[n,d]\n  y = map 0\n"
	            "  for m by 128 from 0 to %d\n    for n by 6 from low(n) to high(n) + 1\n"
	            "      s = contract q, Kp[m,d] over d as %s rows n:6 lanes m:%d\n      store S[n,m] = s\n"
	            "      p = load P8[n,m]\n"
	            "      y = contract p, Vp[e,m] over m as %s rows n:6 lanes e:%d accumulate%s\n"
	            "  store Y[n,e] = y\n",
	            s.m, type, lanes, type, lanes, whole ? "" : " scale 0.5");
	return t;
}

/* Attention with narrow operands under a causal mask: what is rounded to bf16 is also summed as it was. */
__attribute__((unused)) static struct text narrow_text(struct arena *a, const char *type, struct shape s, int lanes)
{
	bool whole = !strcmp(type, "i8");
	struct text t;
	text_init(&t, a);
	text_printf(&t, "program narrow : f32\nindex n : %d\nindex m : %d\nindex d : %d\nindex e : %d\n", s.n, s.m, s.d, s.e);
	text_printf(&t, "in Q8[%d, %d] : %s\nin K8[%d, %d] : %s\nin V[%d, %d] : bf16\nout O[%d, %d] : f32\n", s.n, s.d, type, s.m,
	            s.d, type, s.m, s.e, s.n, s.e);
	text_printf(&t, "work Kp[%d, %d] : %s panel 64 of 0 by %d\nwork Vp[%d, %d] : bf16 panel 64 of 0 by 2\n", s.m, s.d, type,
	            whole ? 4 : 2, s.e, s.m);
	text_printf(&t, "value k[m:64, d:%d] : %s\nvalue v[m:64, e:%d] : bf16\nvalue q[n:12, d:%d] : %s\nvalue s[n:6, m:128] : %s\n",
	            s.d, type, s.e, s.d, type, whole ? "i32" : "f32");
	text_printf(&t,
	            "value x[n:6, m:128] : f32\nvalue p[n:6, m:128] : bf16\nvalue t[n:6] : f32\nvalue l[n:12] : f32\n"
	            "value y[n:12, e:%d] : f32\n",
	            s.e);
	text_printf(&t,
	            "phase pack_k\n  task m by 64\n  k = load K8[m,d]\n  store Kp[m,d] = k\n"
	            "phase pack_v\n  task m by 64\n  v = load V[m,e]\n  store Vp[e,m] = v\n"
	            "phase main\n  task n by 12\n  q = load Q8[n,d]\n  l = map 0\n  y = map 0\n"
	            "  for m by 128 from 0 to high(n) + %d\n    for n by 6 from low(n) to high(n) + 1\n"
	            "      narrow m by 64 from 0 to high(n) + %d\n"
	            "      s = contract q, Kp[m,d] over d as %s rows n:6 lanes m:%d\n"
	            "      x = map select(m < n + %d, exp(s * %s - 2), 0)\n      p = map x\n"
	            "      t = reduce sum over m of x\n      l = map l + t\n"
	            "      y = contract p, Vp[e,m] over m as bf16 rows n:6 lanes e:%d accumulate\n"
	            "  store O[n,e] = y / l\n",
	            s.ahead, s.ahead, type, lanes, s.ahead, whole ? "0.00002" : "0.05", lanes);
	return t;
}

static const struct {
	const char *name, *text;
	double bound;
} program[] = {
        {"layer norm by two passes over a value",
         "program norm : f32\nindex n : 37\nindex d : 75\n"
         "in X[37, 75] : f32\nin G[75] : f32\nout Y[37, 75] : bf16\nout Z[37] : f32\n"
         "value x[n:8, d:75] : f32\nvalue g[d:75] : f32\nvalue mu[n:8] : f32\nvalue v[n:8] : f32\n"
         "phase main\n  task n by 8\n  g = load G[d]\n  x = load X[n,d]\n"
         "  mu = reduce sum over d of x / 75\n  v = reduce sum over d of (x - mu) * (x - mu)\n"
         "  store Y[n,d] = (x - mu) * rsqrt(v / 75 + 0.00001) * g\n  store Z[n] = v\n",
         8e-3},
        {"sums down columns, and of a transposed value",
         "program columns : f32\nindex n : 21\nindex m : 50\n"
         "in X[21, 50] : f32\nin Y[50, 21] : f32\nout C[50] : f32\nout D[50] : f32\nout E[21] : f32\n"
         "value x[n:21, m:50] : f32\nvalue y[m:50, n:21] : f32\nvalue c[m:50] : f32\nvalue e[n:21] : f32\n"
         "phase main\n  x = load X[n,m]\n  y = load Y[m,n]\n  c = reduce max over n of x\n  store C[m] = c\n"
         "  c = reduce sum over n of x * y\n  store D[m] = c\n"
         "  e = reduce prod over m of select(x > y, 1.01, 0.99)\n  store E[n] = e\n",
         2e-5},
        {"integers, truth and indices",
         "program ints : f32\nindex n : 40\nindex m : 70\n"
         "in S[40] : i32\nin T[70] : i64\nin X[40, 70] : bool\nout A[40] : i32\nout B[40] : bool\nout C[40, "
         "70] : i8\n"
         "out D[40, 70] : f32\nout E[40] : i64\n"
         "value s[n:16] : i32\nvalue t[m:70] : i32\nvalue x[n:16, m:70] : i32\nvalue a[n:16] : i32\n"
         "value b[n:16] : i32\nvalue c[n:16, m:70] : i32\nvalue e[n:16] : i32\n"
         "phase main\n  task n by 16\n  s = load S[n]\n  t = load T[m]\n  x = load X[n,m]\n"
         "  a = reduce sum over m of select(s == t, m - 20, 0)\n  b = reduce any over m of s == t and m > n\n"
         "  c = map (m // 3 - n // 4) % 7 + xor(m, 5)\n  e = reduce max over m of select(x != 0, m, -5)\n"
         "  store A[n] = a\n  store B[n] = b\n  store C[n,m] = c\n  store D[n,m] = select(c > 3, m / 4, n * "
         "2)\n"
         "  store E[n] = e\n",
         1e-6},
        {"shifted and gathered reads",
         "program reads : f32\nindex n : 33\nindex d : 20\n"
         "in X[33, 20] : f32\nin P[33] : i32\nout A[33, 20] : f32\nout B[33, 20] : f16\n"
         "value a[n:33, d:20] : f32\nvalue b[n:33, d:20] : f32\n"
         "phase main\n  a = load X[n - 1,d] + X[n,d + 3]\n  b = load X[P[n],d]\n"
         "  store A[n,d] = a\n  store B[n,d] = b\n",
         1e-3},
        {"rows and lanes that are not whole blocks inside a larger value",
         "program ragged : f32\nindex n : 45\nindex m : 70\nindex d : 19\n"
         "in A[45, 19] : f32\nin B[19, 70] : f32\nout C[45, 70] : f32\n"
         "value a[n:45, d:19] : f32\nvalue c[n:45, m:70] : f32\nvalue s[n:45] : f32\n"
         "phase main\n  a = load A[n,d]\n  s = map n - 3\n  c = map 1\n"
         "  for n by 7 from 0 to 45 down\n    for m by 21 from 0 to 70 down\n"
         "      c = contract a, B[d,m] over d rows n:4 lanes m:2 accumulate scale s * 0.5\n"
         "      c = map c + 1\n"
         "  store C[n,m] = c\n",
         2e-5},
        {"a product of values, a dense work tensor, one row",
         "program products : f32\nindex n : 30\nindex m : 26\nindex d : 41\n"
         "in A[30, 41] : f32\nin B[41, 26] : bf16\nout C[30, 26] : f32\nout R[26] : f32\nwork W[41, 26] : "
         "f32\n"
         "value b[d:41, m:26] : f32\nvalue a[n:30, d:41] : f32\nvalue c[n:30, m:26] : f32\nvalue o[d:41] : "
         "f32\n"
         "value r[m:26] : f32\n"
         "phase first\n  task d by 10\n  b = load B[d,m]\n  store W[d,m] = b * 2\n"
         "phase second\n  a = load A[n,d]\n  b = load W[d,m]\n  c = contract a, b over d rows n:5 lanes m:2\n"
         "  store C[n,m] = c\n  o = map 1\n  r = contract o, W[d,m] over d lanes m:1\n  store R[m] = r\n",
         2e-5},
        {"every function",
         "program functions : f32\nindex n : 100\nindex k : 3\n"
         "in X[100, 3] : f32\nout A[100, 3] : f32\nout B[100, 3] : f32\n"
         "value x[n:100, k:3] : f32\nvalue y[n:100, k:3] : f32\n"
         "phase main\n  x = load X[n,k] / 8\n"
         "  y = map tanh(x) + sigmoid(x) + softplus(x) + relu(x) + gelu(x) + silu(x) + erf(x) + sin(x) + "
         "cos(x)\n"
         "  store A[n,k] = y\n"
         "  y = map exp(x) + exp2(x) + log(abs(x)) + log2(abs(x)) + sqrt(abs(x)) + pow(abs(x), 1.5) + "
         "sign(x) + floor(x)"
         " + round(x) + min(x, 0.5) + clamp(x, -1, 1)\n"
         "  store B[n,k] = y\n",
         2e-6},
        {"every storage type in and out",
         "program types : f32\nindex n : 5\nindex m : 37\n"
         "in A[5, 37] : f64\nin B[5, 37] : f16\nin C[5, 37] : bf16\nin D[5, 37] : f8e4m3\nin E[5, 37] : "
         "f8e5m2\n"
         "in F[5, 37] : u8\nin G[5, 37] : i4\n"
         "out H[5, 37] : f64\nout I[5, 37] : f8e4m3\nout J[5, 37] : f8e5m2\nout K[5, 37] : u8\nout L[5, 37] "
         ": i4\n"
         "value a[n:5, m:37] : f32\nvalue g[n:5, m:37] : i32\n"
         "phase main\n  a = load A[n,m] + B[n,m] * C[n,m] + D[n,m] - E[n,m] * 9 + F[n,m]\n  g = load G[n,m]\n"
         "  store H[n,m] = a + g\n  store I[n,m] = a\n  store J[n,m] = a * 20\n  store K[n,m] = a * 30\n"
         "  store L[n,m] = g - a\n",
         1e-6},
        {"selections",
         "program selections : f32\nindex i : 7\nindex c : 77\nindex s : 9\nindex b : 2\n"
         "in X[2, 7, 77] : f32\nin Y[7, 77] : i32\nin M[7, 77] : bool\nin L[7] : i32\n"
         "out A[2, 7, 77] : bool\nout B[7, 77] : bool\nout C[2, 7, 77] : f32\nout D[77, 7] : i32\n"
         "out E[7, 77] : i32\nout F[7, 9] : i32\nout G[2, 9] : i32\nwork W[7, 77] : bool\n"
         "phase largest\n  task b by 1\n  task i by 3\n  store A[b,i,c] = select topk 11 over c of X[b,i,c]\n"
         "phase ints\n  task i by 2\n  store B[i,c] = select topk 5 over c of Y[i,c] where c < 30 + L[i] and M[i,c]\n"
         "  store W[i,c] = select topk 7 over c of Y[i,c] - c % 5 where not M[i,c] and i < c\n"
         "phase nucleus\n  store C[b,i,c] = select nucleus 0.4 over c of abs(X[b,i,c]) where c % 3 < 2\n"
         "phase sort\n  task i by 1\n  store D[c,i] = select argsort over c of X[1,i,c] where M[i,c]\n"
         "  store E[i,c] = select argsort over c of Y[i,c]\n"
         "phase members\n  task i by 4\n  store F[i,s] = select members over c slots s of W[i,c]\n"
         "phase few\n  task b by 1\n  store G[b,s] = select members over c slots s of X[b,3,c] > 0.2 and c < 60\n",
         0},
        {"computation in doubles",
         "program doubles : f64\nindex n : 9\nindex m : 31\nindex d : 12\n"
         "in A[9, 12] : f64\nin B[12, 31] : f64\nout C[9, 31] : f64\nout S[9] : f64\n"
         "out J[9, 12] : bool\nout N[9, 12] : bool\nout K[9, 12] : i32\nout L[9, 12] : i32\n"
         "value a[n:9, d:12] : f64\nvalue c[n:9, m:31] : f64\nvalue s[n:9] : f64\n"
         "phase main\n  a = load A[n,d]\n  c = contract a, B[d,m] over d rows n:4 lanes m:4\n"
         "  s = reduce sum over m of exp(c / 10)\n  store C[n,m] = c\n  store S[n] = s\n"
         "phase choose\n  task n by 2\n  store J[n,d] = select topk 4 over d of A[n,d]\n"
         "  store N[n,d] = select nucleus 0.3 over d of abs(A[n,d])\n"
         "  store K[n,d] = select argsort over d of A[n,d] where n < d\n"
         "  store L[n,d] = select argsort over d of d % 3\n",
         1e-12},
        {"coordinates that move with the lanes or against them, at an offset",
         "program shifted : f32\nindex n : 23\nindex m : 77\n"
         "in X[23, 77] : f32\nin T[100] : bf16\nin U[79] : i32\nin W[106] : i8\nin G[2, 40] : i4\n"
         "out O[23, 77] : f32\nout P[23] : f32\nout A[23, 77] : f32\nout C[23, 77] : f32\nout E[23, 77] : f32\n"
         "value x[n:5, m:77] : f32\nvalue t[n:5, m:77] : f32\nvalue p[n:5] : f32\n"
         "phase main\n  task n by 5\n  x = load X[n,m]\n  t = load T[n-m+76]\n"
         "  p = reduce sum over m of x * t\n  store P[n] = p\n"
         "  t = load G[0,m/2] + T[99-m]\n  store A[n,m] = t\n"
         "  t = load T[n-m+76] * U[m+2] + W[3+n-(m-5)+75]\n  store O[n,m] = x + t\n"
         "  t = load T[m-n+22] + select(n >= m, T[n-m], 0)\n  store C[n,m] = t\n"
         "  t = load T[min(m, n+70)] + G[1,max(m-n-30, 0)]\n  store E[n,m] = t\n",
         2e-6},
};
