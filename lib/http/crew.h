/* Work that would hold the loop up, such as unpacking megabytes, done on the threads of libuv's
 * pool: a few tasks at once, the others in a line, so that the memory that running tasks need is
 * bounded however many sources there are. Everything but run happens on the loop. */
#ifndef PW_HTTP_CREW_H
#define PW_HTTP_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>
#include <uv.h>

enum { PW_CREW_AT_WORK_MAX = 2 };

struct pw_crew;

enum pw_task_state { PW_TASK_IDLE = 0, PW_TASK_IN_LINE, PW_TASK_RUNNING };

/* Embed it in what has work; zero it, then set the two callbacks. What run touches must live, and
 * be left alone by the loop, until done. */
struct pw_task {
    void (*run)(struct pw_task *task);  /* on another thread */
    void (*done)(struct pw_task *task); /* on the loop; the task is the owner's again */
    /* The rest is the crew's. */
    enum pw_task_state state;
    struct pw_crew *crew;
    uv_work_t work;
    TAILQ_ENTRY(pw_task) link;
};

struct pw_crew {
    uv_loop_t *loop;
    size_t at_work;
    TAILQ_HEAD(, pw_task) line;
};

/* Needs no end: it holds nothing while it has no task. */
void pw_crew_init(struct pw_crew *crew, uv_loop_t *loop);
/* Puts an idle task at the end of the line; done is never called from within this. */
void pw_crew_add(struct pw_crew *crew, struct pw_task *task);
/* True: the task is idle, and done will not be called. False: it is at work, and done follows. */
bool pw_crew_drop(struct pw_task *task);

#endif
