/* The functions that WinFsp's library calls instead of those of Windows: the device that it opens and controls is
 * `driver.c`, drives and mount points are events, nothing in the system changes. */
#include "driver.h"

#define FSCTL(letter) CTL_CODE(FILE_DEVICE_FILE_SYSTEM, 0x800 + (letter), METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_TRANSACT CTL_CODE(0x8000 | 'F' << 8 | 'W', 0x800 + 'T', METHOD_BUFFERED, FILE_ANY_ACCESS)
#define DEVICE L"\\\\?\\GLOBALROOT\\Device\\WinFsp."
#define VOLUME L"\\Device\\Volume{6d0a1f0e-57a1-4d1b-9a4e-000000000001}"
#define PARAMS L"\\VolumeParams="
#define MANAGER L"\\\\.\\MountPointManager"

/* FSP_FSCTL_VOLUME_PARAMS */
enum { PARAMS_SIZE = 504 };

static HANDLE volume, manager;

/* UTF-16 as hexadecimal: names with any characters pass a line. */
static const char *hex(const void *bytes, size_t size, char *out, size_t room) {
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < size && at + 3 <= room; i++) {
        out[at++] = digits[((const BYTE *)bytes)[i] >> 4];
        out[at++] = digits[((const BYTE *)bytes)[i] & 15];
    }
    out[at] = 0;
    return out;
}

static const char *hex_name(const wchar_t *name, char *out, size_t room) {
    return hex(name, wcslen(name) * sizeof *name, out, room);
}

static HANDLE(WINAPI *real_CreateFileW)(LPCWSTR, DWORD, DWORD, LPSECURITY_ATTRIBUTES, DWORD, DWORD, HANDLE);
static BOOL(WINAPI *real_DeviceIoControl)(HANDLE, DWORD, LPVOID, DWORD, LPVOID, DWORD, LPDWORD, LPOVERLAPPED);
static LSTATUS(WINAPI *real_RegGetValueW)(HKEY, LPCWSTR, LPCWSTR, DWORD, LPDWORD, PVOID, LPDWORD);

/* The parameters are the last part of the path, a byte in each character. */
static void create_volume(const wchar_t *encoded) {
    BYTE params[PARAMS_SIZE] = {0};
    char text[2 * PARAMS_SIZE + 1];
    size_t size = wcslen(encoded);
    for (size_t i = 0; i < size && i < sizeof params; i++)
        params[i] = (BYTE)encoded[i];
    if (size != sizeof params)
        violation("the volume's parameters have a wrong size:", size);
    greet();
    event("volume %s\n", hex(params, sizeof params, text, sizeof text));
}

static HANDLE WINAPI fake_CreateFileW(LPCWSTR name, DWORD access, DWORD share, LPSECURITY_ATTRIBUTES security,
    DWORD disposition, DWORD flags, HANDLE template) {
    if (name && !_wcsicmp(name, MANAGER))
        return manager = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!name || _wcsnicmp(name, DEVICE, wcslen(DEVICE)))
        return real_CreateFileW(name, access, share, security, disposition, flags, template);
    if (getenv("WINFSP_DRIVER_MISSING")) {
        SetLastError(ERROR_FILE_NOT_FOUND);
        return INVALID_HANDLE_VALUE;
    }
    const wchar_t *params = wcsstr(name, PARAMS);
    HANDLE device = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (params) {
        volume = device;
        create_volume(params + wcslen(PARAMS));
    }
    return device;
}

/* The mount manager's IOCTL_MOUNTMGR_CREATE_POINT and _DELETE_POINTS; whatever else it is asked changes nothing. */
static BOOL manage(DWORD code, const BYTE *in, DWORD in_size, void *out, DWORD out_size, DWORD *taken) {
    enum { CREATE_POINT, DELETE_POINTS };
    char text[4096];
    struct {
        uint32_t offset;
        uint16_t length;
    } link;
    *taken = out_size;
    memset(out, 0, out_size);
    switch (code >> 2 & 0xfff) {
    case CREATE_POINT:
        event("manager %s\n", hex(in, in_size, text, sizeof text));
        break;
    case DELETE_POINTS:
        memcpy(&link, in, sizeof link);
        if (in_size < sizeof link || link.offset > in_size || link.length > in_size - link.offset)
            violation("a mount point's name is not where it is told:", link.offset);
        event("removed %s\n", hex(in + link.offset, link.length, text, sizeof text));
    }
    return TRUE;
}

static BOOL WINAPI fake_DeviceIoControl(HANDLE device, DWORD code, LPVOID in, DWORD in_size, LPVOID out,
    DWORD out_size, LPDWORD taken, LPOVERLAPPED overlapped) {
    char text[4096];
    if (code == FSCTL_SET_REPARSE_POINT && device != volume) {
        event("directory %s\n", hex(in, in_size, text, sizeof text));
        *taken = 0;
        return TRUE;
    }
    if (device == manager)
        return manage(code, in, in_size, out, out_size, taken);
    if (device != volume)
        return real_DeviceIoControl(device, code, in, in_size, out, out_size, taken, overlapped);
    *taken = 0;
    switch (code) {
    case FSCTL('N'): /* the name of the volume */
        if (out_size < sizeof VOLUME)
            violation("no room for the volume's name:", out_size);
        memcpy(out, VOLUME, sizeof VOLUME);
        *taken = sizeof VOLUME;
        return TRUE;
    case FSCTL('T'):
    case IOCTL_TRANSACT:
        return transact(in, in_size, out, out_size, taken);
    case FSCTL('M'): /* make it known to the mount manager: its GUID */
        memset(out, 1, out_size);
        *taken = out_size;
        return TRUE;
    case FSCTL('s'):
    case FSCTL('S'):
        stop();
        return TRUE;
    default:
        violation("an unexpected control code:", code);
        return FALSE;
    }
}

static BOOL WINAPI fake_DefineDosDeviceW(DWORD flags, LPCWSTR name, LPCWSTR target) {
    char text[1024];
    if (!(flags & DDD_REMOVE_DEFINITION) && wcscmp(target, VOLUME))
        violation("a drive for another volume:", flags);
    event("%s %s\n", flags & DDD_REMOVE_DEFINITION ? "removed" : "drive", hex_name(name, text, sizeof text));
    return TRUE;
}

/* In a container the library does not look for the driver's service, which is not here. */
static LSTATUS WINAPI fake_RegGetValueW(HKEY key, LPCWSTR path, LPCWSTR name, DWORD flags, LPDWORD type, PVOID data,
    LPDWORD size) {
    if (name && !wcscmp(name, L"ContainerType"))
        return ERROR_SUCCESS;
    return real_RegGetValueW(key, path, name, flags, type, data, size);
}

static BOOL replace(HMODULE module, const char *name, void *by, void *before) {
    BYTE *base = (BYTE *)module;
    IMAGE_NT_HEADERS *headers = (void *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
    DWORD imports = headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
    for (IMAGE_IMPORT_DESCRIPTOR *from = (void *)(base + imports); from->Name; from++) {
        IMAGE_THUNK_DATA *names = (void *)(base + from->OriginalFirstThunk);
        IMAGE_THUNK_DATA *slots = (void *)(base + from->FirstThunk);
        for (; names->u1.AddressOfData; names++, slots++) {
            if (IMAGE_SNAP_BY_ORDINAL(names->u1.Ordinal))
                continue;
            IMAGE_IMPORT_BY_NAME *import = (void *)(base + names->u1.AddressOfData);
            DWORD protection;
            if (strcmp((char *)import->Name, name))
                continue;
            if (!VirtualProtect(slots, sizeof *slots, PAGE_READWRITE, &protection))
                return FALSE;
            memcpy(before, &slots->u1.Function, sizeof(void *));
            memcpy(&slots->u1.Function, &by, sizeof by);
            return VirtualProtect(slots, sizeof *slots, protection, &protection);
        }
    }
    return FALSE;
}

BOOL WINAPI DllMain(HINSTANCE self, DWORD reason, LPVOID reserved) {
    (void)reserved;
    static void *unused;
    wchar_t path[1024];
    if (reason != DLL_PROCESS_ATTACH)
        return TRUE;
    DWORD length = GetModuleFileNameW(self, path, 1000);
    wchar_t *name = length ? wcsrchr(path, L'\\') : NULL;
    if (!name)
        return FALSE;
    wcscpy(name + 1, L"winfsp-real.dll");
    HMODULE genuine = LoadLibraryW(path);
    return genuine && replace(genuine, "CreateFileW", fake_CreateFileW, &real_CreateFileW)
        && replace(genuine, "DeviceIoControl", fake_DeviceIoControl, &real_DeviceIoControl)
        && replace(genuine, "RegGetValueW", fake_RegGetValueW, &real_RegGetValueW)
        && replace(genuine, "DefineDosDeviceW", fake_DefineDosDeviceW, &unused);
}
