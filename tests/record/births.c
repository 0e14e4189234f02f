/* 8 threads start threads that live for a moment, until somebody kills the process. */
#include <pthread.h>
#include <unistd.h>

static void *brief(void *unused)
{
    usleep(100000);
    return unused;
}

static void *start(void *unused)
{
    for (;;) {
        pthread_t t;
        if (!pthread_create(&t, NULL, brief, NULL))
            pthread_detach(t);
        usleep(20000);
    }
    return unused;
}

int main(void)
{
    pthread_t threads[8];

    for (int i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, start, NULL);
    pause();
    return 0;
}
