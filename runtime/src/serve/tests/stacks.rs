//! Where a task waits and where it was spawned, as stacks: asked for, and told later.

use super::*;
use crate::inspect::stack::depot::depot;
use crate::sync::Queue;
use loop_proto::message::Texts;

/// Asks for the detail of a task again and again, until `is_told`.
async fn detail_when(
    client: &mut Client,
    id: u64,
    is_told: impl Fn(&pb::TaskDetail) -> bool,
) -> (pb::TaskDetail, Texts) {
    let mut last = None;
    for _ in 0..1000 {
        let request = pb::TaskRequest {
            id,
            await_stack: true,
            ..pb::TaskRequest::default()
        };
        let detail = client.task(request).await.unwrap().into_inner();
        if is_told(&detail) {
            let mut texts = Texts::default();
            texts.learn(detail.interned.clone());
            return (detail, texts);
        }
        last = Some(detail);
        sleep(Duration::from_millis(10)).await;
    }
    panic!("never told: {last:#?}");
}

/// The functions of a stack that are of this file, innermost first.
fn of_this_file(stack: &[pb::Frame], texts: &Texts) -> Vec<String> {
    let here = stack
        .iter()
        .filter(|frame| texts.get(frame.place_text).contains("tests/stacks.rs"));
    here.map(|frame| texts.get(frame.function_text).to_owned())
        .collect()
}

#[inline(never)]
async fn takes_one(queue: &Queue<u32>) -> u32 {
    queue.get().await.unwrap()
}

#[inline(never)]
async fn takes_two(queue: &Queue<u32>) -> u32 {
    let first = takes_one(queue).await;
    first + takes_one(queue).await
}

#[test]
fn the_stack_of_a_wait_is_told_once_the_task_waits_again() {
    let inspected = Inspected::new("await-stack");
    on_loop(|_| async move {
        let queue = Arc::new(Queue::<u32>::new(0));
        let items = queue.clone();
        let task = create_task(async move { takes_two(&items).await });
        settle().await;
        let id = task.id().get();
        let mut client = inspected.client().await;
        let quiet = pb::TaskRequest {
            id,
            ..pb::TaskRequest::default()
        };
        let detail = client.task(quiet).await.unwrap().into_inner();
        assert!(!detail.await_asked && detail.await_stack.is_empty());
        assert_eq!(detail.await_how(), pb::AwaitHow::Place, "nobody asked");

        // It waits already, so its stack is not copied; and this build's debug information has no
        // types of its futures.
        let asked = |detail: &pb::TaskDetail| {
            detail.await_asked && detail.await_why.contains("debug = true")
        };
        let (detail, _) = detail_when(&mut client, id, asked).await;
        assert!(detail.await_stack.is_empty(), "{detail:#?}");

        queue.put_nowait(1).unwrap();
        let told = |detail: &pb::TaskDetail| !detail.await_stack.is_empty();
        let (detail, texts) = detail_when(&mut client, id, told).await;
        assert_eq!(detail.await_how(), pb::AwaitHow::Pending);
        assert!(!detail.await_asked, "it was answered");
        assert!(detail.await_stack_at_ns > 0 && detail.await_stack_at_ns <= detail.at_ns);
        assert!(detail.await_took_ns > 0);
        let functions = of_this_file(&detail.await_stack, &texts);
        let at = |name: &str| functions.iter().position(|f| f.contains(name));
        assert!(
            at("takes_one").unwrap() < at("takes_two").unwrap(),
            "{functions:?}"
        );
        let outermost = detail.await_stack.last().unwrap();
        assert!(
            texts.get(outermost.function_text).contains("run_ready"),
            "it reaches the frame that polls"
        );

        queue.put_nowait(2).unwrap();
        assert_eq!(task.await.unwrap(), 3);
    });
}

#[inline(never)]
fn spawns_here() -> crate::Task<()> {
    create_task(async {})
}

#[test]
fn a_sampled_spawn_tells_who_called_whom() {
    let inspected = Inspected::new("spawn-stack");
    on_loop(|_| async move {
        let mut client = inspected.client().await;
        let unsampled = create_task(std::future::pending::<()>());
        settle().await;
        let id = unsampled.id().get();
        let (detail, _) = detail_when(&mut client, id, |_| true).await;
        assert_eq!(detail.spawn_why, "spawns are not sampled");
        depot().sample_spawns(Some(1)).unwrap();
        assert!(depot().sampling().0);
        let mut functions = Vec::new();
        // Other tests spawn too, and a stack may find no slot; and who takes them has the lowest
        // priority, so that beside other builds it may be given no CPU for seconds.
        for _ in 0..3_000 {
            let task = spawns_here();
            let id = task.id().get();
            task.await.unwrap();
            sleep(Duration::from_millis(20)).await;
            let named = |detail: &pb::TaskDetail| {
                detail.spawn_stack.is_empty() || detail.spawn_stack[0].function_text != 0
            };
            let (detail, texts) = detail_when(&mut client, id, named).await;
            functions = of_this_file(&detail.spawn_stack, &texts);
            if !functions.is_empty() {
                assert_eq!(detail.spawn_why, "");
                break;
            }
        }
        let at = |name: &str| functions.iter().position(|f| f.contains(name));
        assert_eq!(at("spawns_here"), Some(0), "{functions:?}");
        assert!(at("a_sampled_spawn_tells").is_some(), "{functions:?}");
        let words = depot().sampling().1;
        assert!(
            words.contains("all, ") && words.contains(" ns each"),
            "{words}"
        );
        depot().sample_spawns(None).unwrap();
        assert!(!depot().sampling().0);
        unsampled.cancel();
    });
}
