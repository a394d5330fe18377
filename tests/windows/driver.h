/* What the two halves of the stand-in for WinFsp's driver share: `driver.c` has the requests and the test's connections,
 * `driver_imports.c` the functions that WinFsp's library calls instead of those of Windows. */
#include <winsock2.h>
#include <windows.h>
#include <winioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

/* Tells the test something, in a line. */
void event(const char *format, ...);
/* What the real driver would refuse, or blame on the file system: the end. */
void violation(const char *what, uint64_t number);
/* Connects to the test. */
void greet(void);
/* The one thing a file system does: hand in an answer, take the next request. */
BOOL transact(void *in, DWORD in_size, void *out, DWORD out_size, DWORD *taken);
/* Nothing is asked any more. */
void stop(void);
