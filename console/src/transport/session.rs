//! One peer that answers: an app over a byte stream (gRPC by the generated client on hyper's HTTP/2, both on our own loop), or a
//! recording. Knows neither how the stream was made nor what the answers are for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::{Read, Write};
use loop_proto::message::MAX_BYTES;
use loop_proto::pb;
use loop_proto::pb::inspect_client::InspectClient;
use loop_proto::version::{self, VersionGap};
use tonic::body::Body;
use tonic::{Code, Status};
use tower_service::Service;

use super::Options;
use super::mailbox::{self, Receiver};
use super::recording::{self, Source};
use crate::store::{Hello, decode};

/// A message may be this much larger than the schema allows before it is refused: room for its frame.
const SLACK: usize = 64 << 10;

/// Spawns what hyper has to run beside the requests.
#[derive(Clone, Copy, Debug)]
struct OnOurLoop;

impl<F: Future + 'static> hyper::rt::Executor<F> for OnOurLoop
where
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        // Detached: it ends with its connection.
        drop(loop_runtime::create_task(future));
    }
}

/// hyper's sender as the service that the generated client wants.
#[derive(Clone)]
pub struct Channel {
    sender: SendRequest<Body>,
    token: Option<HeaderValue>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token must not reach a log.
        f.debug_struct("Channel")
            .field("token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        Box::pin(self.sender.send_request(request))
    }
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq)]
pub enum Trouble {
    /// Nobody answers there, or not in our language; the words say what was tried and what came.
    Unreachable(String),
    /// The app speaks another major version.
    Gap {
        hello: Box<pb::HelloReply>,
        gap: VersionGap,
    },
    /// It took too long.
    Silent(Duration),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreachable(why) => f.write_str(why),
            Trouble::Gap { gap, .. } => gap.fmt(f),
            Trouble::Silent(limit) => {
                write!(f, "no answer within {}", humantime::format_duration(*limit))
            }
        }
    }
}

/// An app that said Hello in a version that we understand, or a recording of one.
#[derive(Clone, Debug)]
pub struct Session {
    peer: Peer,
    pub hello: pb::HelloReply,
}

/// Who answers.
#[derive(Clone, Debug)]
enum Peer {
    App(InspectClient<Channel>),
    Recording(Arc<Source>),
}

/// Answers as they come.
#[derive(Debug)]
pub enum Views {
    App(tonic::Streaming<pb::View>),
    Recording(recording::Views),
}

impl Views {
    /// The next answer; `None`: the stream has ended.
    pub async fn message(&mut self) -> Result<Option<pb::View>, Status> {
        match self {
            Views::App(stream) => stream.message().await,
            Views::Recording(views) => Ok(views.message().await),
        }
    }
}

/// Events as they come.
#[derive(Debug)]
pub enum Batches {
    App(tonic::Streaming<pb::EventBatch>),
    Recording(recording::Batches),
    /// The question was not understood, which is all that there is to say.
    Wrong(Option<pb::QueryError>),
}

impl Batches {
    /// The next batch; `None`: the stream has ended.
    pub async fn message(&mut self) -> Result<Option<pb::EventBatch>, Status> {
        match self {
            Batches::App(stream) => stream.message().await,
            Batches::Recording(batches) => Ok(batches.message().await),
            Batches::Wrong(error) => Ok(error.take().map(|error| pb::EventBatch {
                error: Some(pb::EventFilterError {
                    message: error.message,
                    offset: error.offset,
                    length: error.length,
                }),
                ..pb::EventBatch::default()
            })),
        }
    }
}

impl Session {
    /// A session with a recording.
    pub fn of(source: Arc<Source>) -> Session {
        let hello = source.answers().0.hello.clone();
        Session {
            peer: Peer::Recording(source),
            hello,
        }
    }

    /// The recording that answers; `None`: an app does.
    pub fn recording(&self) -> Option<&Arc<Source>> {
        match &self.peer {
            Peer::App(_) => None,
            Peer::Recording(source) => Some(source),
        }
    }

    /// Who answers, as the screens know it.
    pub fn who(&self) -> Hello {
        match &self.peer {
            Peer::App(_) => decode::hello(self.hello.clone()),
            Peer::Recording(source) => Hello {
                recording: Some(Box::new(source.about())),
                ..decode::hello(source.answers().0.hello.clone())
            },
        }
    }

    /// Says Hello over `stream`. `authority` is whom we mean, `token` proves that we may.
    ///
    /// Errors: [`Trouble`]; a foreign process that speaks something else is `Unreachable`.
    pub async fn open<S>(
        stream: S,
        authority: &str,
        token: Option<&str>,
        options: &Options,
    ) -> Result<Session, Trouble>
    where
        S: Read + Write + Unpin + 'static,
    {
        let limit = options.timeout;
        let role = if options.control {
            pb::Role::Control
        } else {
            pb::Role::Observe
        };
        match loop_runtime::timeout(limit, Session::greet(stream, authority, token, role)).await {
            Ok(result) => result,
            Err(_) => Err(Trouble::Silent(limit)),
        }
    }

    async fn greet<S>(
        stream: S,
        authority: &str,
        token: Option<&str>,
        role: pb::Role,
    ) -> Result<Session, Trouble>
    where
        S: Read + Write + Unpin + 'static,
    {
        let foreign = |error: &dyn fmt::Display| {
            Trouble::Unreachable(format!(
                "something answers there that is no app of this runtime ({error})"
            ))
        };
        let (sender, connection) = http2::Builder::new(OnOurLoop)
            .max_header_list_size(16 << 10)
            // A page of a million rows comes in messages of a megabyte; the default windows would make each wait.
            .initial_stream_window_size(2 << 20)
            .initial_connection_window_size(4 << 20)
            .handshake(stream)
            .await
            .map_err(|error| foreign(&error))?;
        drop(loop_runtime::create_task(async move {
            // Its end is seen by each request and stream; there is nobody else to tell.
            let _ = connection.await;
        }));
        let token = token.and_then(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        let origin: Uri = format!("http://{authority}")
            .parse()
            .map_err(|error| foreign(&error))?;
        let mut client = InspectClient::with_origin(Channel { sender, token }, origin)
            .max_decoding_message_size(MAX_BYTES + SLACK);
        let hello = client
            .hello(pb::HelloRequest {
                protocol: Some(version::PROTOCOL),
                client: our_name(),
                role: role as i32,
            })
            .await
            .map_err(|status| Trouble::Unreachable(refused(&status)))?
            .into_inner();
        match version::fit(hello.protocol) {
            Ok(_) => Ok(Session {
                peer: Peer::App(client),
                hello,
            }),
            Err(gap) => Err(Trouble::Gap {
                hello: Box::new(hello),
                gap,
            }),
        }
    }

    /// One viewer: what goes into the mailbox is asked, what comes out of the stream answers. The first questions are already in: a
    /// server may answer the call only once it has one.
    pub async fn watch_with(
        &self,
        first: impl IntoIterator<Item = pb::Query>,
    ) -> Result<(mailbox::Sender<pb::Query>, Views), Status> {
        let (asks, questions) = mailbox::mailbox();
        for query in first {
            asks.send(query);
        }
        let views = match &self.peer {
            Peer::App(client) => Views::App(client.clone().watch(questions).await?.into_inner()),
            Peer::Recording(source) => {
                Views::Recording(recording::Views::new(source.clone(), questions))
            }
        };
        Ok((asks, views))
    }

    /// What happens, as it happens; of what was before at most the `newest`, where it matters how much that is.
    pub async fn events(
        &self,
        request: pb::EventsRequest,
        newest: Option<usize>,
    ) -> Result<Batches, Status> {
        Ok(match &self.peer {
            Peer::App(client) => {
                Batches::App(client.clone().watch_events(request).await?.into_inner())
            }
            Peer::Recording(source) => {
                match recording::Batches::begin(source.clone(), &request, newest) {
                    Ok(batches) => Batches::Recording(batches),
                    Err(error) => Batches::Wrong(Some(error)),
                }
            }
        })
    }

    /// All about one task; `None`: there is none of that id. With `await_stack` the app finds out
    /// where it waits, and tells when it is asked again.
    pub async fn task(&self, id: u64, await_stack: bool) -> Result<Option<pb::TaskDetail>, Status> {
        let client = match &self.peer {
            Peer::App(client) => client,
            Peer::Recording(source) => return Ok(source.answers().0.task(id)),
        };
        let request = pb::TaskRequest {
            id,
            await_stack,
            ..pb::TaskRequest::default()
        };
        match client.clone().task(request).await {
            Ok(detail) => Ok(Some(detail.into_inner())),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Says Hello again: what is recorded may have changed.
    pub async fn hello_again(&self) -> Result<pb::HelloReply, Status> {
        let hello = pb::HelloRequest {
            protocol: Some(version::PROTOCOL),
            client: our_name(),
            role: self.hello.role,
        };
        Ok(self.app()?.hello(hello).await?.into_inner())
    }

    /// Does something, if this viewer may.
    pub async fn command(&self, request: pb::CommandRequest) -> Result<pb::CommandReply, Status> {
        Ok(self.app()?.command(request).await?.into_inner())
    }

    /// The gate's side of a verdict stream.
    pub async fn judge(
        &self,
        steps: Receiver<pb::JudgeRequest>,
    ) -> Result<tonic::Streaming<pb::Verdict>, Status> {
        Ok(self.app()?.judge(steps).await?.into_inner())
    }

    /// The app, for what no recording can do.
    fn app(&self) -> Result<InspectClient<Channel>, Status> {
        match &self.peer {
            Peer::App(client) => Ok(client.clone()),
            Peer::Recording(_) => Err(recording::refused()),
        }
    }
}

/// What this viewer calls itself.
fn our_name() -> String {
    format!("loop-console {}", env!("CARGO_PKG_VERSION"))
}

/// How the layers below call a connection that ended without a word.
const BROKEN: [&str; 3] = [
    "error reading a body from connection",
    "connection error",
    "transport error",
];

/// Why the app refused, in words.
pub fn refused(status: &Status) -> String {
    let said = status.message();
    match status.code() {
        Code::Unauthenticated => format!(
            "it wants a token: set LOOP_CONSOLE_TOKEN_FILE to the file that the app's `inspector()` names ({said})"
        ),
        Code::PermissionDenied => format!("it does not let this user in ({said})"),
        Code::Unimplemented => format!("it does not know this call ({said})"),
        Code::ResourceExhausted => format!("it has as many viewers as it takes ({said})"),
        _ if said.is_empty() => format!("it answered {}", status.code()),
        // As of an app that was killed.
        _ if BROKEN.contains(&said) => "the connection broke".to_owned(),
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let text = refused(&Status::unauthenticated("no token"));
        assert!(text.contains("LOOP_CONSOLE_TOKEN_FILE"), "{text}");
        assert_eq!(
            refused(&Status::unknown("connection reset")),
            "connection reset"
        );
        assert!(!refused(&Status::internal("")).is_empty());
    }
}
