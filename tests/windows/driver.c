/* A stand-in for the kernel driver of WinFsp, so that mounting runs under Wine.
 *
 * Built as winfsp-x64.dll: every export is forwarded to the genuine library, renamed winfsp-real.dll. Some of the
 * functions that it imports are replaced, so that the "device" it opens is here. What the requests say and what the
 * answers must be is decided elsewhere: the test listens on the port named by WINFSP_DRIVER_PORT and sends requests as
 * the driver would lay them out; here they get an address in this process, a token and a number, and are answered.
 *
 * The first connection carries events, one a line, and takes one byte for each further connection that is wanted.
 */
#include "driver.h"

/* The most that a request or an answer may take. */
enum { MESSAGE_MAX = 16384 };
/* The driver lets a waiting thread go after so long, with nothing to do. */
enum { IDLE_MS = 500, ANSWER_MS = 60000 };
enum { FAILED = 97 };

#pragma pack(push, 1)
/* What requests and answers begin with. */
struct message {
    uint16_t version, size;
    uint32_t kind;
    uint64_t hint;
};
/* What the test sends before a request: its size, that of the caller's buffer, and where in the request the address
 * of that buffer and the caller's token belong (0: nowhere). */
struct envelope {
    uint32_t request, buffer, address_at, token_at;
};
#pragma pack(pop)

struct transaction {
    struct transaction *next;
    uint64_t hint;
    uint32_t kind;
    BYTE request[MESSAGE_MAX], answer[MESSAGE_MAX];
    BOOL sent, answered;
};

static SRWLOCK lock = SRWLOCK_INIT, events_lock = SRWLOCK_INIT;
static CONDITION_VARIABLE arrived = CONDITION_VARIABLE_INIT, answered = CONDITION_VARIABLE_INIT;
static struct transaction *transactions; /* the oldest first */
static uint64_t last_hint;
static BOOL stopped;
static HANDLE token;
static SOCKET events = INVALID_SOCKET;

void event(const char *format, ...) {
    char line[8192];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= (int)sizeof line)
        length = sizeof line - 1;
    AcquireSRWLockExclusive(&events_lock);
    if (events != INVALID_SOCKET)
        send(events, line, length, 0);
    ReleaseSRWLockExclusive(&events_lock);
}

void violation(const char *what, uint64_t number) {
    event("violation %s %llu\n", what, (unsigned long long)number);
    fprintf(stderr, "WinFsp driver: %s %llu\n", what, (unsigned long long)number);
    fflush(stderr);
    TerminateProcess(GetCurrentProcess(), FAILED);
}

/* ---- the queue of requests ---- */

static void answer(const struct message *from, size_t size) {
    if (size < sizeof *from || from->size < sizeof *from || from->size > size || from->size > MESSAGE_MAX)
        violation("an answer has a wrong size:", from->size);
    for (struct transaction *t = transactions; t; t = t->next)
        if (t->sent && !t->answered && t->hint == from->hint) {
            if (t->kind != from->kind)
                violation("an answer has a wrong kind:", from->kind);
            memcpy(t->answer, from, from->size);
            t->answered = TRUE;
            WakeAllConditionVariable(&answered);
            return;
        }
    /* After the stop nobody waits for it any more. */
    if (!stopped)
        violation("nothing asked for the answer", from->hint);
}

BOOL transact(void *in, DWORD in_size, void *out, DWORD out_size, DWORD *taken) {
    AcquireSRWLockExclusive(&lock);
    if (in_size)
        answer(in, in_size);
    if (!out_size) {
        ReleaseSRWLockExclusive(&lock);
        return TRUE;
    }
    struct transaction *next = NULL;
    for (BOOL waited = FALSE; !stopped; waited = TRUE) {
        for (next = transactions; next && next->sent; next = next->next)
            ;
        if (next || waited)
            break;
        SleepConditionVariableSRW(&arrived, &lock, IDLE_MS, 0);
    }
    BOOL open = !stopped;
    if (open && next) {
        *taken = ((struct message *)next->request)->size;
        if (*taken > out_size)
            violation("no room for a request of", *taken);
        memcpy(out, next->request, *taken);
        next->sent = TRUE;
    }
    ReleaseSRWLockExclusive(&lock);
    if (!open)
        SetLastError(ERROR_OPERATION_ABORTED);
    return open;
}

/* Waits for the answer. False when the volume was stopped instead. */
static BOOL ask(struct transaction *t) {
    struct message *request = (struct message *)t->request;
    AcquireSRWLockExclusive(&lock);
    t->hint = request->hint = ++last_hint;
    t->kind = request->kind;
    struct transaction **last = &transactions;
    while (*last)
        last = &(*last)->next;
    *last = t;
    WakeConditionVariable(&arrived);
    while (!t->answered && !stopped)
        if (!SleepConditionVariableSRW(&answered, &lock, ANSWER_MS, 0))
            violation("no answer to a request of kind", t->kind);
    struct transaction **here = &transactions;
    while (*here != t)
        here = &(*here)->next;
    *here = t->next;
    ReleaseSRWLockExclusive(&lock);
    return t->answered;
}

void stop(void) {
    AcquireSRWLockExclusive(&lock);
    BOOL before = stopped;
    stopped = TRUE;
    WakeAllConditionVariable(&arrived);
    WakeAllConditionVariable(&answered);
    ReleaseSRWLockExclusive(&lock);
    if (!before)
        event("stop\n");
}

/* ---- the connections of the test ---- */

static BOOL receive(SOCKET from, void *to, uint32_t size) {
    for (uint32_t have = 0; have < size;) {
        int got = recv(from, (char *)to + have, size - have, 0);
        if (got <= 0)
            return FALSE;
        have += got;
    }
    return TRUE;
}

static BOOL deliver(SOCKET to, const void *from, uint32_t size) {
    for (uint32_t sent = 0; sent < size;) {
        int done = send(to, (const char *)from + sent, size - sent, 0);
        if (done <= 0)
            return FALSE;
        sent += done;
    }
    return TRUE;
}

/* The caller's buffer; the page after it cannot be touched. */
static BYTE *guarded(uint32_t size, void **allocation) {
    SYSTEM_INFO system;
    GetSystemInfo(&system);
    SIZE_T page = system.dwPageSize, pages = (size + page - 1) / page * page;
    DWORD before;
    BYTE *start = VirtualAlloc(NULL, pages + page, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    if (!start || !VirtualProtect(start + pages, page, PAGE_NOACCESS, &before))
        violation("no memory for a buffer of", size);
    *allocation = start;
    memset(start, 0xA5, pages);
    return start + pages - size;
}

static BOOL serve_one(SOCKET client) {
    struct envelope envelope;
    struct transaction *t = calloc(1, sizeof *t);
    void *allocation = NULL;
    BOOL served = FALSE;
    if (t && receive(client, &envelope, sizeof envelope) && envelope.request <= MESSAGE_MAX
        && envelope.address_at <= MESSAGE_MAX - 8 && envelope.token_at <= MESSAGE_MAX - 8
        && receive(client, t->request, envelope.request)) {
        BYTE *buffer = guarded(envelope.buffer, &allocation);
        uint64_t address = (uintptr_t)buffer;
        uint64_t caller = (uint64_t)GetCurrentProcessId() << 32 | (uint32_t)(uintptr_t)token;
        if (envelope.address_at)
            memcpy(t->request + envelope.address_at, &address, sizeof address);
        if (envelope.token_at)
            memcpy(t->request + envelope.token_at, &caller, sizeof caller);
        uint32_t size = ask(t) ? ((struct message *)t->answer)->size : 0;
        served = deliver(client, &size, sizeof size) && deliver(client, t->answer, size)
            && deliver(client, buffer, envelope.buffer);
    }
    if (allocation)
        VirtualFree(allocation, 0, MEM_RELEASE);
    free(t);
    return served;
}

static SOCKET connect_to_test(void) {
    const char *port = getenv("WINFSP_DRIVER_PORT");
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port ? atoi(port) : 0)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    SOCKET to = port ? socket(AF_INET, SOCK_STREAM, 0) : INVALID_SOCKET;
    if (to != INVALID_SOCKET && connect(to, (struct sockaddr *)&address, sizeof address)) {
        closesocket(to);
        to = INVALID_SOCKET;
    }
    /* Nothing waits until the test has acknowledged what went before. */
    BOOL at_once = TRUE;
    if (to != INVALID_SOCKET)
        setsockopt(to, IPPROTO_TCP, TCP_NODELAY, (const char *)&at_once, sizeof at_once);
    return to;
}

static DWORD WINAPI serve(void *unused) {
    (void)unused;
    SOCKET client = connect_to_test();
    while (client != INVALID_SOCKET && serve_one(client))
        ;
    closesocket(client);
    return 0;
}

static DWORD WINAPI open_connections(void *unused) {
    (void)unused;
    char wanted;
    while (receive(events, &wanted, 1))
        CloseHandle(CreateThread(NULL, 0, serve, NULL, 0, NULL));
    /* The test has ended: nobody else would end a server in the background. */
    TerminateProcess(GetCurrentProcess(), FAILED);
    return 0;
}

void greet(void) {
    WSADATA data;
    WSAStartup(MAKEWORD(2, 2), &data);
    HANDLE process;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_DUPLICATE | TOKEN_QUERY, &process)
        || !DuplicateTokenEx(process, TOKEN_QUERY | TOKEN_IMPERSONATE, NULL, SecurityIdentification,
            TokenImpersonation, &token))
        violation("no token:", GetLastError());
    events = connect_to_test();
    if (events != INVALID_SOCKET)
        CloseHandle(CreateThread(NULL, 0, open_connections, NULL, 0, NULL));
}
