/* Older releases of Wine lack this library, from which Rust's standard library takes random numbers. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(void *, ULONG); /* RtlGenRandom, in advapi32 */

__declspec(dllexport) BOOL WINAPI ProcessPrng(BYTE *buffer, SIZE_T left)
{
    while (left > 0) {
        ULONG take = left < 1 << 20 ? (ULONG)left : 1 << 20;
        if (!SystemFunction036(buffer, take))
            return FALSE;
        buffer += take;
        left -= take;
    }
    return TRUE;
}
