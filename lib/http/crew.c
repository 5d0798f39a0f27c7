/* The crew: a line in front of uv_queue_work, since libuv's own is not bounded by memory. */
#include "http/crew.h"

#include <assert.h>

static void on_run(uv_work_t *work)
{
    struct pw_task *task = work->data;

    task->run(task);
}

static void on_ran(uv_work_t *work, int status);

static void put_to_work(struct pw_crew *crew)
{
    struct pw_task *task;

    while (crew->at_work < PW_CREW_AT_WORK_MAX && (task = TAILQ_FIRST(&crew->line)) != NULL) {
        TAILQ_REMOVE(&crew->line, task, link);
        task->state = PW_TASK_RUNNING;
        task->work.data = task;
        crew->at_work++;
        (void)uv_queue_work(crew->loop, &task->work, on_run, on_ran); /* fails without run only */
    }
}

/* Nobody calls uv_cancel, so status is 0. */
static void on_ran(uv_work_t *work, int status)
{
    struct pw_task *task = work->data;
    struct pw_crew *crew = task->crew;

    (void)status;
    crew->at_work--;
    task->state = PW_TASK_IDLE;
    put_to_work(crew); /* before done, which may end the crew with its last task */
    task->done(task);
}

void pw_crew_init(struct pw_crew *crew, uv_loop_t *loop)
{
    crew->loop = loop;
    crew->at_work = 0;
    TAILQ_INIT(&crew->line);
}

void pw_crew_add(struct pw_crew *crew, struct pw_task *task)
{
    assert(task->state == PW_TASK_IDLE);
    task->state = PW_TASK_IN_LINE;
    task->crew = crew;
    TAILQ_INSERT_TAIL(&crew->line, task, link);
    put_to_work(crew);
}

bool pw_crew_drop(struct pw_task *task)
{
    if (task->state == PW_TASK_IN_LINE) {
        TAILQ_REMOVE(&task->crew->line, task, link);
        task->state = PW_TASK_IDLE;
    }
    return task->state == PW_TASK_IDLE;
}
