//! Files on the loop's executor: what a cancelled call leaves behind, and what the loop does
//! meanwhile.
#![cfg(unix)]

mod scratch;

use std::future::Future;
use std::io::{self, SeekFrom};
use std::path::PathBuf;
use std::pin::pin;
use std::task::Poll;

use futures_util::future::poll_fn;
use futures_util::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use loop_runtime::fs::{self, File};
use loop_runtime::run;
use scratch::Scratch;

/// A file of that text.
fn written(folder: &Scratch, name: &str, text: &str) -> PathBuf {
    let path = folder.file(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs `test` and passes on its error.
fn on_a_loop<T: 'static>(test: impl Future<Output = io::Result<T>> + 'static) -> T {
    run(test).unwrap().unwrap()
}

fn read_write() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true);
    options
}

/// Begins to read from the start, and lets go of it while a thread still reads.
async fn begin_to_read(file: &mut File, bytes: usize) -> io::Result<()> {
    loop {
        let mut all = vec![0; bytes];
        let polled = {
            let mut read = pin!(file.read(&mut all));
            poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await
        };
        if polled.is_pending() {
            return Ok(());
        }
        // The thread was quicker than the first poll, and its bytes were given out.
        file.seek(SeekFrom::Start(0)).await?;
    }
}

#[test]
fn what_is_written_is_read_back_and_listed() {
    let folder = Scratch::new("fs-back");
    let top = folder.file("a/b");
    on_a_loop(async move {
        fs::create_dir_all(&top).await?;
        let path = top.join("file");
        fs::write(&path, "hello").await?;
        assert_eq!(fs::read(&path).await?, b"hello");
        assert_eq!(fs::metadata(&path).await?.len(), 5);
        let moved = top.join("moved");
        fs::rename(&path, &moved).await?;
        let entries = fs::read_dir(&top).await?;
        let names: Vec<_> = entries.iter().map(std::fs::DirEntry::file_name).collect();
        assert_eq!(names, ["moved"]);
        fs::remove_file(&moved).await?;
        let error = fs::read_to_string(&moved).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        Ok(())
    });
}

#[test]
fn without_a_loop_a_call_is_an_error() {
    let mut call = pin!(fs::read("/proc/self/comm"));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Err(error)) = call.as_mut().poll(&mut context) else {
        panic!("there is nothing to wait for");
    };
    assert!(error.to_string().contains("no event loop"), "{error}");
}

// Apple has no `mknodat`.
#[cfg(not(target_vendor = "apple"))]
#[test]
fn the_loop_turns_while_a_call_waits_for_its_file() {
    let folder = Scratch::new("fs-fifo");
    let path = folder.file("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    on_a_loop(async move {
        // Each end is opened only once the other one is: on one thread that could not end.
        let reader = loop_runtime::create_task(fs::read_to_string(path.clone()));
        loop_runtime::yield_now().await;
        assert!(!reader.done());
        fs::write(&path, "through").await?;
        assert_eq!(reader.await.unwrap()?, "through");
        Ok(())
    });
}

#[test]
fn a_read_that_is_dropped_keeps_its_bytes_for_the_next_one() {
    let folder = Scratch::new("fs-dropped");
    let path = written(&folder, "text", "0123456789");
    on_a_loop(async move {
        let mut file = File::open_with(&path, read_write()).await?;
        begin_to_read(&mut file, 10).await?;
        let mut three = [0; 3];
        file.read_exact(&mut three).await?;
        assert_eq!(&three, b"012");
        // A write, and a seek from here, go on from there, not from where the file was read to.
        assert_eq!(file.seek(SeekFrom::Current(1)).await?, 4);
        file.read_exact(&mut three).await?;
        assert_eq!(&three, b"456");
        let error = file.seek(SeekFrom::Current(-100)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        file.write_all(b"X").await?;
        assert_eq!(fs::read(&path).await?, b"0123456X89");
        Ok(())
    });
}

#[test]
fn a_write_goes_on_from_where_the_app_has_read_to() {
    let folder = Scratch::new("fs-ahead");
    let path = written(&folder, "text", "0123456789");
    on_a_loop(async move {
        let mut file = File::open_with(&path, read_write()).await?;
        begin_to_read(&mut file, 10).await?;
        file.read_exact(&mut [0; 2]).await?;
        file.write_all(b"--").await?;
        let mut rest = String::new();
        file.read_to_string(&mut rest).await?;
        assert_eq!(rest, "456789");
        assert_eq!(fs::read_to_string(&path).await?, "01--456789");
        Ok(())
    });
}

#[test]
fn a_file_that_is_dropped_still_writes_what_it_was_given() {
    let folder = Scratch::new("fs-given");
    let path = written(&folder, "text", "");
    let el = loop_runtime::EventLoop::new().unwrap();
    // One thread, which is busy: the write has not begun when the file is dropped.
    el.local()
        .set_default_executor(loop_runtime::Executor::new(1, "one"));
    let test = {
        let path = path.clone();
        async move {
            let mut file = File::open_with(&path, read_write()).await?;
            let (go, wait) = std::sync::mpsc::channel::<()>();
            let busy = loop_runtime::run_in_executor(move || wait.recv());
            AsyncWriteExt::write(&mut file, b"kept").await?;
            drop(file);
            go.send(()).unwrap();
            busy.await.unwrap().unwrap();
            assert_eq!(fs::read(&path).await?, b"kept");
            io::Result::Ok(())
        }
    };
    el.run_until_complete(test).unwrap().unwrap();
}

#[cfg(target_os = "linux")] // Which alone has a disk that is always full.
#[test]
fn the_error_of_a_write_is_told_by_the_next_call() {
    on_a_loop(async {
        let mut options = std::fs::OpenOptions::new();
        options.write(true);
        let mut full = File::open_with("/dev/full", options).await?;
        assert_eq!(AsyncWriteExt::write(&mut full, b"lost").await?, 4);
        let error = full.flush().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        let error = full.write_all(b"told at once").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
        full.flush().await
    });
}

#[test]
fn combinators_of_futures_read_write_and_seek() {
    let folder = Scratch::new("fs-traits");
    let (from, to) = (
        written(&folder, "from", &"x".repeat(1_000_000)),
        folder.file("to"),
    );
    on_a_loop(async move {
        let mut source = File::open(&from).await?;
        let mut target = File::create(&to).await?;
        assert_eq!(
            futures_util::io::copy(&mut source, &mut target).await?,
            1_000_000
        );
        target.close().await?;
        assert_eq!(fs::metadata(&to).await?.len(), 1_000_000);
        AsyncSeekExt::seek(&mut source, SeekFrom::End(-3)).await?;
        let mut rest = String::new();
        AsyncReadExt::read_to_string(&mut source, &mut rest).await?;
        assert_eq!(rest, "xxx");
        Ok(())
    });
}

#[test]
fn a_directory_is_no_file_and_text_has_to_be_text() {
    let folder = Scratch::new("fs-not");
    let path = folder.file("bytes");
    std::fs::write(&path, [0xFF, 0xFE]).unwrap();
    on_a_loop(async move {
        assert!(fs::read(std::env::temp_dir()).await.is_err());
        let error = fs::read_to_string(&path).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut text = "as it was".to_owned();
        let error = File::open(&path)
            .await?
            .read_to_string(&mut text)
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind(), &*text),
            (io::ErrorKind::InvalidData, "as it was")
        );
        Ok(())
    });
}
