//! Crates that need tokio, on this loop; and this loop inside an app of tokio's.
#![cfg(feature = "compat-tokio")]

use std::sync::mpsc;
use std::time::Duration;

use loop_runtime::{Builder, create_task, get_running_loop, sleep, with_tokio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn run<T: 'static>(main: impl Future<Output = T> + 'static) -> T {
    Builder::new()
        .compat_tokio(true)
        .inspector(false)
        .run(main)
        .unwrap()
}

#[test]
fn tokios_timers_sockets_and_spawns_work_in_every_task_of_such_a_loop() {
    let echoed = run(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 5];
            stream.read_exact(&mut bytes).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
        });
        let client = create_task(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            bytes
        });
        let echoed = client.await.unwrap();
        server.await.unwrap();
        echoed
    });
    assert_eq!(echoed, b"hello");
}

#[test]
fn a_single_future_of_tokios_is_polled_and_dropped_in_its_context() {
    struct SpawnsAtDrop(mpsc::Sender<u32>);
    impl Drop for SpawnsAtDrop {
        fn drop(&mut self) {
            let told = self.0.clone();
            tokio::spawn(async move { told.send(7).unwrap() });
        }
    }
    let (tell, told) = mpsc::channel();
    Builder::new()
        .inspector(false)
        .run(async move {
            let task = create_task(with_tokio(async move {
                let _last = SpawnsAtDrop(tell);
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }));
            sleep(Duration::from_millis(1)).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
        })
        .unwrap();
    assert_eq!(told.recv_timeout(Duration::from_secs(30)), Ok(7));
}

#[test]
fn without_it_a_future_of_tokios_panics_and_the_panic_says_what_is_missing() {
    let ended = Builder::new().inspector(false).run(async {
        create_task(async { tokio::time::sleep(Duration::from_millis(1)).await }).await
    });
    let error = ended.unwrap().unwrap_err().to_string();
    assert!(error.contains("Tokio 1.x"), "{error}");
}

#[test]
fn a_loop_in_a_tokio_app_serves_tasks_that_tokio_awaits() {
    let (tell, told) = mpsc::channel();
    let side = std::thread::spawn(move || {
        Builder::new()
            .name("side")
            .inspector(false)
            .run(async move {
                let (promise, stop) = loop_runtime::create_future::<()>();
                tell.send((get_running_loop().unwrap().handle(), promise))
                    .unwrap();
                let _ = stop.await;
            })
            .unwrap();
    });
    let (handle, promise) = told.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let sum = runtime.block_on(async {
        let tasks: Vec<_> = (1..=3u32)
            .map(|n| {
                handle.spawn(move || async move {
                    sleep(Duration::from_millis(1)).await;
                    n
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.unwrap().await.unwrap();
        }
        sum
    });
    assert_eq!(sum, 6);
    handle
        .call_soon_threadsafe(move || promise.set_result(()).unwrap())
        .unwrap();
    side.join().unwrap();
}
