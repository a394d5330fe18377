/* Stands in for virtdisk.dll, which has nothing to tell under Wine: the volume of Windows depends on the image that
   SELF_VOLUME and SELF_PATH name, and on its parent. */
#include <windows.h>
#include <virtdisk.h>
#include <string.h>

typedef struct {
    ULONG version, count;
    STORAGE_DEPENDENCY_INFO_TYPE_2 entries[2];
    WCHAR texts[4][512];
} LIST;

DWORD WINAPI GetStorageDependencyInformation(HANDLE handle, GET_STORAGE_DEPENDENCY_FLAG flags, ULONG size,
                                             PSTORAGE_DEPENDENCY_INFO out, PULONG used)
{
    LIST *list = (LIST *)out;
    if (handle == INVALID_HANDLE_VALUE || flags != GET_STORAGE_DEPENDENCY_FLAG_HOST_VOLUMES || size < sizeof *out
        || out->Version != STORAGE_DEPENDENCY_INFO_VERSION_2)
        return ERROR_INVALID_PARAMETER;
    if (used)
        *used = sizeof *list;
    if (size < sizeof *list)
        return ERROR_INSUFFICIENT_BUFFER;
    memset(list, 0, sizeof *list);
    out->Version = STORAGE_DEPENDENCY_INFO_VERSION_2;
    out->NumberEntries = 2;
    GetEnvironmentVariableW(L"SELF_VOLUME", list->texts[0], 512);
    GetEnvironmentVariableW(L"SELF_PATH", list->texts[1], 512);
    lstrcpyW(list->texts[2], L"\\\\.\\PhysicalDrive7");
    lstrcpyW(list->texts[3], L"\\parent.vhdx");
    for (int n = 0; n < 2; n++) {
        STORAGE_DEPENDENCY_INFO_TYPE_2 *entry = &out->Version2Entries[n];
        entry->DependencyTypeFlags = n == 0 ? DEPENDENT_DISK_FLAG_PARENT : 0;
        entry->AncestorLevel = n == 0 ? 2 : 1;
        entry->DependencyDeviceName = list->texts[2];
        entry->HostVolumeName = list->texts[0];
        entry->DependentVolumeRelativePath = n == 0 ? list->texts[3] : list->texts[1];
    }
    return ERROR_SUCCESS;
}
