/* Prints each security descriptor that standard input has in hexadecimal, one a line, as SDDL. */
#include <windows.h>
#include <sddl.h>
#include <stdio.h>

int main(void)
{
    static char line[65536];
    static unsigned char descriptor[32768];
    while (fgets(line, sizeof line, stdin)) {
        unsigned int count = 0, byte;
        char *text = NULL;
        while (count < sizeof descriptor && sscanf(line + 2 * count, "%2x", &byte) == 1)
            descriptor[count++] = (unsigned char)byte;
        if (ConvertSecurityDescriptorToStringSecurityDescriptorA(descriptor, SDDL_REVISION_1, 15, &text, NULL))
            printf("%s\n", text);
        else
            printf("error %lu\n", GetLastError());
    }
    return 0;
}
