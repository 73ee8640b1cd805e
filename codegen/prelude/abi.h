/* The argument block of a kernel; the caller's side is attune's kernel ABI. */

struct at_args {
	void *const *data;         /* one an argument tensor, in order of declaration */
	const long *const *stride; /* one array an argument, in elements, one a rank */
	void *work;                /* shared by all threads of a call */
};
