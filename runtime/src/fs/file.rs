//! An open file: one call at a time, each on a thread, with what a cancelled one left behind.
//!
//! ```text
//!           poll_read ──► Reading ─► idle, with bytes that were not given out yet
//! idle ──── poll_write ─► Writing ─► idle; its error is told by the next call
//!           poll_seek ──► Seeking ─► idle
//! ```

use std::fmt;
use std::fs::{Metadata, OpenOptions};
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncSeek, AsyncWrite};

use super::call::FileCall;

/// Bytes that one call moves at most.
const MOST: usize = 256 * 1024;

/// An open file.
///
/// Implements `futures-io`'s traits; the methods here do the same and know where they are awaited.
/// A trait's `write` copies the bytes, starts to write them and returns; `flush`, `close` or the
/// next call tells how that went. `write_all` waits and tells.
///
/// Errors: another loop runs here than the one where a call was begun.
/// Cancel: a read that is dropped keeps its bytes for the next one; a write goes on. Dropping the
/// file lets a write go on, whose error nobody hears, and closes it then; a loop that closes
/// before drops writes that have not begun.
/// Records: a job each call, named after the operation.
pub struct File {
    std: Arc<std::fs::File>,
    state: State,
    /// Read and not given out yet; `unread.0[unread.1..]`.
    unread: (Vec<u8>, usize),
}

enum State {
    Idle,
    Reading(FileCall<Vec<u8>>),
    Writing(FileCall<()>),
    Seeking(SeekFrom, FileCall<u64>),
}

impl File {
    /// Opens a file to read it.
    ///
    /// ```
    /// # loop_runtime::run(async {
    /// let mut file = loop_runtime::fs::File::open("/proc/self/comm").await?;
    /// let mut name = String::new();
    /// file.read_to_string(&mut name).await?;
    /// assert!(name.ends_with('\n'));
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[track_caller]
    pub fn open(path: impl AsRef<Path>) -> FileCall<Self> {
        FileCall::on("fs.open", path, |path| {
            std::fs::File::open(path).map(Self::from_std)
        })
    }

    /// Makes a file to write it, or empties the one that is there.
    ///
    /// ```
    /// use loop_runtime::fs::{self, File};
    /// # loop_runtime::run(async {
    /// let path = std::env::temp_dir().join(format!("loop-doc-create-{}", std::process::id()));
    /// let mut file = File::create(&path).await?;
    /// file.write_all(b"one ").await?;
    /// file.write_all(b"two").await?;
    /// assert_eq!(fs::read(&path).await?, b"one two");
    /// fs::remove_file(path).await?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[track_caller]
    pub fn create(path: impl AsRef<Path>) -> FileCall<Self> {
        FileCall::on("fs.open", path, |path| {
            std::fs::File::create(path).map(Self::from_std)
        })
    }

    /// Opens a file as `options` say.
    ///
    /// ```
    /// use std::io::SeekFrom;
    /// use loop_runtime::fs::{self, File};
    /// # loop_runtime::run(async {
    /// let path = std::env::temp_dir().join(format!("loop-doc-open-{}", std::process::id()));
    /// let mut options = std::fs::OpenOptions::new();
    /// options.read(true).write(true).create_new(true);
    /// let mut file = File::open_with(&path, options).await?;
    /// file.write_all(b"there").await?;
    /// file.seek(SeekFrom::Start(1)).await?;
    /// let mut two = [0; 2];
    /// file.read_exact(&mut two).await?;
    /// assert_eq!(&two, b"he");
    /// fs::remove_file(path).await?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[track_caller]
    pub fn open_with(path: impl AsRef<Path>, options: OpenOptions) -> FileCall<Self> {
        let path = path.as_ref().to_owned();
        FileCall::new("fs.open", move || options.open(path).map(Self::from_std))
    }

    /// Takes over a file that is open.
    pub fn from_std(file: std::fs::File) -> Self {
        Self {
            std: Arc::new(file),
            state: State::Idle,
            unread: (Vec::new(), 0),
        }
    }

    /// Reads what is there, up to the buffer's length; 0 at the end of the file.
    pub fn read<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        On(self, ReadSome(buf))
    }

    /// Fills the buffer.
    ///
    /// Errors: `UnexpectedEof` if the file ends before; what came is in the buffer.
    pub fn read_exact<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        On(self, ReadExact(buf, 0))
    }

    /// Reads to the end and appends it to `bytes`; tells how much it was.
    ///
    /// Cancel: what was read is in `bytes`, or kept for the next call.
    pub fn read_to_end<'a>(
        &'a mut self,
        bytes: &'a mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        let had = bytes.len();
        On(self, ReadToEnd { bytes, had })
    }

    /// Reads text to the end and appends it to `text`; tells how many bytes it was.
    ///
    /// Errors: `InvalidData` if it is not UTF-8; then `text` is as it was.
    /// Cancel: what was read is lost.
    pub fn read_to_string<'a>(
        &'a mut self,
        text: &'a mut String,
    ) -> impl Future<Output = io::Result<usize>> + Send + Unpin + 'a {
        On(self, ReadToString(text, Vec::new()))
    }

    /// Writes it all, and waits until the system has it.
    ///
    /// Errors: also if only a part was written.
    pub fn write_all<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + 'a {
        On(self, WriteAll(buf))
    }

    /// Waits until the system has all that was written.
    pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send + Unpin + '_ {
        On(self, WriteAll(&[]))
    }

    /// Goes to a place in the file; tells how far it is from the start.
    pub fn seek(
        &mut self,
        to: SeekFrom,
    ) -> impl Future<Output = io::Result<u64>> + Send + Unpin + '_ {
        On(self, Go(to))
    }

    /// Waits until all that was written is on the disk, with what the system knows of the file.
    ///
    /// ```
    /// use loop_runtime::fs::{self, File};
    /// # loop_runtime::run(async {
    /// let path = std::env::temp_dir().join(format!("loop-doc-sync-{}", std::process::id()));
    /// let mut file = File::create(&path).await?;
    /// file.write_all(b"kept").await?;
    /// file.sync_all().await?;
    /// assert_eq!(file.metadata().await?.len(), 4);
    /// file.set_len(2).await?;
    /// assert_eq!(fs::read(&path).await?, b"ke");
    /// fs::remove_file(path).await?;
    /// # std::io::Result::Ok(())
    /// # }).unwrap().unwrap();
    /// ```
    #[doc(alias = "fsync")]
    pub fn sync_all(&mut self) -> impl Future<Output = io::Result<()>> + Send + Unpin + '_ {
        On(self, Then::new("fs.sync", |file| file.sync_all()))
    }

    /// What the system knows of it.
    pub fn metadata(&mut self) -> impl Future<Output = io::Result<Metadata>> + Send + Unpin + '_ {
        On(self, Then::new("fs.metadata", |file| file.metadata()))
    }

    /// Cuts it off there, or fills it up with zeros.
    #[doc(alias = "truncate")]
    pub fn set_len(
        &mut self,
        length: u64,
    ) -> impl Future<Output = io::Result<()>> + Send + Unpin + '_ {
        On(
            self,
            Then::new("fs.set_len", move |file| file.set_len(length)),
        )
    }

    fn unread(&self) -> usize {
        self.unread.0.len() - self.unread.1
    }

    /// Bytes that were read ahead of where the app is are forgotten; tells how many.
    fn forget_unread(&mut self) -> i64 {
        let ahead = self.unread();
        self.unread = (Vec::new(), 0);
        i64::try_from(ahead).expect("a buffer is smaller than that")
    }

    /// Ready when no call runs; a read leaves its bytes, a write its error.
    #[track_caller]
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = match &mut self.state {
            State::Idle => Ok(()),
            State::Reading(call) => {
                let read = ready!(Pin::new(call).poll(cx));
                read.map(|bytes| self.unread = (bytes, 0))
            }
            State::Writing(call) => ready!(Pin::new(call).poll(cx)),
            State::Seeking(_, call) => ready!(Pin::new(call).poll(cx)).map(drop),
        };
        self.state = State::Idle;
        Poll::Ready(done)
    }

    #[track_caller]
    fn poll_some(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut asked = matches!(self.state, State::Reading(_));
        loop {
            ready!(self.poll_idle(cx))?;
            let (bytes, at) = (&self.unread.0, self.unread.1);
            let given = buf.len().min(bytes.len() - at);
            if given > 0 || asked {
                buf[..given].copy_from_slice(&bytes[at..at + given]);
                self.unread.1 += given;
                return Poll::Ready(Ok(given));
            }
            let (file, room) = (self.std.clone(), buf.len().min(MOST));
            let mut bytes = std::mem::take(&mut self.unread).0;
            let read = move || {
                bytes.resize(room, 0);
                let read = loop {
                    match (&*file).read(&mut bytes) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        read => break read?,
                    }
                };
                bytes.truncate(read);
                Ok(bytes)
            };
            self.state = State::Reading(FileCall::new("fs.read", read));
            asked = true;
        }
    }

    /// Begins to write, once nothing else runs; tells how much of it.
    #[track_caller]
    fn poll_begin_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_idle(cx))?;
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let (ahead, file) = (self.forget_unread(), self.std.clone());
        let bytes = buf[..buf.len().min(MOST)].to_vec();
        let written = bytes.len();
        let write = move || {
            if ahead != 0 {
                (&*file).seek(SeekFrom::Current(-ahead))?;
            }
            (&*file).write_all(&bytes)
        };
        self.state = State::Writing(FileCall::new("fs.write", write).kept());
        Poll::Ready(Ok(written))
    }

    #[track_caller]
    fn poll_go(&mut self, cx: &mut Context<'_>, to: SeekFrom) -> Poll<io::Result<u64>> {
        if let State::Seeking(target, call) = &mut self.state
            && *target == to
        {
            let went = ready!(Pin::new(call).poll(cx));
            self.state = State::Idle;
            return Poll::Ready(went);
        }
        ready!(self.poll_idle(cx))?;
        let (ahead, file) = (self.forget_unread(), self.std.clone());
        let from_here = match to {
            // The file is ahead of where the app is.
            SeekFrom::Current(by) => SeekFrom::Current(by.saturating_sub(ahead)),
            fixed => fixed,
        };
        let seek = move || {
            let went = (&*file).seek(from_here);
            if went.is_err() && ahead != 0 {
                // It stays where the app is.
                (&*file).seek(SeekFrom::Current(-ahead))?;
            }
            went
        };
        let call = FileCall::new("fs.seek", seek);
        self.state = State::Seeking(to, call);
        self.poll_go(cx, to)
    }
}

/// What is to be done on a file, as a future.
trait Step {
    type Output;

    fn step(&mut self, file: &mut File, cx: &mut Context<'_>) -> Poll<io::Result<Self::Output>>;
}

#[must_use = "futures do nothing unless awaited"]
struct On<'a, S>(&'a mut File, S);

// A step is only called, never pinned.
impl<S> Unpin for On<'_, S> {}

impl<S: Step> Future for On<'_, S> {
    type Output = io::Result<S::Output>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        this.1.step(this.0, cx)
    }
}

struct ReadSome<'a>(&'a mut [u8]);

impl Step for ReadSome<'_> {
    type Output = usize;

    #[track_caller]
    fn step(&mut self, file: &mut File, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        file.poll_some(cx, self.0)
    }
}

struct ReadExact<'a>(&'a mut [u8], usize);

impl Step for ReadExact<'_> {
    type Output = ();

    #[track_caller]
    fn step(&mut self, file: &mut File, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.1 < self.0.len() {
            match ready!(file.poll_some(cx, &mut self.0[self.1..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                read => self.1 += read,
            }
        }
        Poll::Ready(Ok(()))
    }
}

struct ReadToEnd<'a> {
    bytes: &'a mut Vec<u8>,
    had: usize,
}

impl Step for ReadToEnd<'_> {
    type Output = usize;

    #[track_caller]
    fn step(&mut self, file: &mut File, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(poll_to_end(file, self.bytes, cx))?;
        Poll::Ready(Ok(self.bytes.len() - self.had))
    }
}

#[track_caller]
fn poll_to_end(file: &mut File, bytes: &mut Vec<u8>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    loop {
        let had = bytes.len();
        bytes.resize(had + MOST, 0);
        let read = file.poll_some(cx, &mut bytes[had..]);
        let more = match &read {
            Poll::Ready(Ok(more)) => *more,
            _ => 0,
        };
        bytes.truncate(had + more);
        if ready!(read)? == 0 {
            return Poll::Ready(Ok(()));
        }
    }
}

struct ReadToString<'a>(&'a mut String, Vec<u8>);

impl Step for ReadToString<'_> {
    type Output = usize;

    #[track_caller]
    fn step(&mut self, file: &mut File, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ready!(poll_to_end(file, &mut self.1, cx))?;
        let text = String::from_utf8(std::mem::take(&mut self.1));
        let text = text.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.0.push_str(&text);
        Poll::Ready(Ok(text.len()))
    }
}

struct WriteAll<'a>(&'a [u8]);

impl Step for WriteAll<'_> {
    type Output = ();

    #[track_caller]
    fn step(&mut self, file: &mut File, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.0.is_empty() {
            let written = ready!(file.poll_begin_write(cx, self.0))?;
            self.0 = &self.0[written..];
        }
        file.poll_idle(cx)
    }
}

struct Go(SeekFrom);

impl Step for Go {
    type Output = u64;

    #[track_caller]
    fn step(&mut self, file: &mut File, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        file.poll_go(cx, self.0)
    }
}

/// A call of its own, once nothing else runs.
struct Then<T: Send + 'static, F> {
    operation: &'static str,
    call: Option<F>,
    begun: Option<FileCall<T>>,
}

impl<T: Send, F> Then<T, F> {
    fn new(operation: &'static str, call: F) -> Self
    where
        F: FnOnce(&std::fs::File) -> io::Result<T>,
    {
        Self {
            operation,
            call: Some(call),
            begun: None,
        }
    }
}

impl<T, F> Step for Then<T, F>
where
    T: Send + 'static,
    F: FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
{
    type Output = T;

    #[track_caller]
    fn step(&mut self, file: &mut File, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.begun.is_none() {
            ready!(file.poll_idle(cx))?;
            let call = self.call.take().expect("polled after it was ready");
            let std = file.std.clone();
            self.begun = Some(FileCall::new(self.operation, move || call(&std)));
        }
        let begun = self
            .begun
            .as_mut()
            .expect("it was begun just now, or before");
        let done = ready!(Pin::new(begun).poll(cx));
        self.begun = None;
        Poll::Ready(done)
    }
}

impl AsyncRead for File {
    #[track_caller]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_some(cx, buf)
    }
}

impl AsyncWrite for File {
    #[track_caller]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_begin_write(cx, buf)
    }

    #[track_caller]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_idle(cx)
    }

    #[track_caller]
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_idle(cx)
    }
}

impl AsyncSeek for File {
    #[track_caller]
    fn poll_seek(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        self.poll_go(cx, to)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("std", &self.std)
            .field("unread", &self.unread())
            .finish_non_exhaustive()
    }
}
