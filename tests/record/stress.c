/* 64 threads make and delete slots on one VM while other threads start and die.  Prints the calls made. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int vm, rounds = 20;
static void *memory;
static int made;

static int set(int slot, unsigned long size)
{
    struct kvm_userspace_memory_region r = { slot, 0, (unsigned long)slot << 12, size, (unsigned long)memory };
    __sync_fetch_and_add(&made, 1);
    return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static void *brief(void *unused)
{
    return unused;
}

static void *work(void *argument)
{
    long number = (long)argument;
    for (int i = 0; i < rounds; i++) {
        pthread_t t;
        if (set(number, 4096) || set(number, 0))
            exit(3);
        if (i % 4 == 0 && !pthread_create(&t, NULL, brief, NULL))
            pthread_join(t, NULL);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    pid_t child;

    if (argc > 1)
        rounds = atoi(argv[1]);
    do vm = ioctl(kvm, KVM_CREATE_VM, 0); while (vm < 0 && errno == EINTR);
    memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long i = 0; i < 64; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 0", (char *)NULL);
        _exit(1);
    }
    for (int i = 0; i < 64; i++)
        pthread_join(threads[i], NULL);
    waitpid(child, NULL, 0);
    printf("%d\n", made);
    return 5;
}
