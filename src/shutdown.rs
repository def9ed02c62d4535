//! Cancellation, tracked tasks and named critical tasks.
//!
//! Every long-lived task is spawned through [`Tasks`]. When a critical one ends before shutdown was asked for,
//! by an error, a panic or by returning, [`Failures::first`] resolves and the application drains.

use std::{future::Future, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long tasks may take to end once their connections were hung up.
const HUNG_UP: Duration = Duration::from_secs(1);

/// Ends a client's connection, whatever it still has to send; hanging up on all hangs up on each. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hangup(CancellationToken);

impl Hangup {
    pub fn hang_up(&self) {
        self.0.cancel();
    }

    pub async fn hung_up(&self) {
        self.0.cancelled().await;
    }

    /// One connection of many.
    pub fn one(&self) -> Self {
        Self(self.0.child_token())
    }
}

/// Takes a connection's socket away from HTTP, for an answer that outlives the request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Takeover(mpsc::Sender<oneshot::Sender<TcpStream>>);

/// The other end of a [`Takeover`]: where the socket is asked for.
pub struct Taken(mpsc::Receiver<oneshot::Sender<TcpStream>>);

impl Takeover {
    /// Both ends, for one connection.
    pub fn new() -> (Self, Taken) {
        let (ask, asked) = mpsc::channel(1);
        (Self(ask), Taken(asked))
    }

    /// The socket, with nothing of the answer sent; `None` when the connection is gone. The handler of the request
    /// is dropped where it stands, so it cannot be the one that waits for this.
    pub async fn take(self) -> Option<TcpStream> {
        let (give, given) = oneshot::channel();
        self.0.send(give).await.ok()?;
        given.await.ok()
    }
}

impl Taken {
    /// Waits until somebody asks for the socket.
    pub async fn asked(&mut self) -> oneshot::Sender<TcpStream> {
        match self.0.recv().await {
            Some(give) => give,
            None => std::future::pending().await,
        }
    }
}

/// The tasks of one application, cancelled together. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    token: CancellationToken,
    hangup: Hangup,
    tracker: TaskTracker,
    failures: mpsc::Sender<TaskFailure>,
}

/// A critical task that ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("{task} stopped: {reason}")]
pub struct TaskFailure {
    pub task: &'static str,
    pub reason: String,
}

/// Receives the first failure; held by the application alone.
pub struct Failures(mpsc::Receiver<TaskFailure>);

impl Failures {
    /// Waits until a critical task fails.
    pub async fn first(&mut self) -> TaskFailure {
        match self.0.recv().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }
}

impl Tasks {
    pub fn new() -> (Self, Failures) {
        // One slot: the first failure already ends the application.
        let (failures, received) = mpsc::channel(1);
        let tasks = Self {
            token: CancellationToken::new(),
            hangup: Hangup::default(),
            tracker: TaskTracker::new(),
            failures,
        };
        (tasks, Failures(received))
    }

    /// Cancelled when shutdown begins.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Hangs up on every client that still has a connection when shutdown's deadline has passed.
    pub fn hangup(&self) -> &Hangup {
        &self.hangup
    }

    /// Spawns a task whose end does not matter to others, such as one client's session.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Spawns a task that the application cannot run without.
    pub fn spawn_critical<E>(
        &self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) where
        E: std::fmt::Display + Send + 'static,
    {
        let (token, failures) = (self.token.clone(), self.failures.clone());
        let handle = self.tracker.spawn(task);
        self.tracker.spawn(async move {
            let reason = match handle.await {
                Ok(Ok(())) => "it returned early".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(panic) => panic.to_string(),
            };
            if !token.is_cancelled() {
                // A full channel means that another failure is already ending the application.
                let _ = failures.try_send(TaskFailure { task: name, reason });
            }
        });
    }

    /// Asks every task to end.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Cancels, then waits for all tasks. At the deadline clients that do not take what they asked for are hung
    /// up on; `false` when there are tasks that run on even then.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.cancel();
        self.tracker.close();
        if tokio::time::timeout(deadline, self.tracker.wait())
            .await
            .is_ok()
        {
            return true;
        }
        self.hangup.hang_up();
        tokio::time::timeout(HUNG_UP, self.tracker.wait())
            .await
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_critical_task_is_reported_by_name() {
        let (tasks, mut failures) = Tasks::new();
        tasks.spawn_critical("writer", async {
            if true {
                panic!("boom");
            }
            Ok::<(), std::io::Error>(())
        });
        assert_eq!(failures.first().await.task, "writer");
    }

    #[tokio::test]
    async fn a_critical_task_that_ends_after_cancellation_is_no_failure() {
        let (tasks, mut failures) = Tasks::new();
        let token = tasks.token();
        tasks.spawn_critical("reader", async move {
            token.cancelled().await;
            Ok::<(), std::io::Error>(())
        });
        assert!(tasks.drain(Duration::from_secs(5)).await);
        assert!(failures.0.try_recv().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn clients_that_do_not_hang_up_are_hung_up_on_at_the_deadline() {
        let (tasks, _failures) = Tasks::new();
        let hangup = tasks.hangup().one();
        tasks.spawn(async move { hangup.hung_up().await });
        assert!(tasks.drain(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_gives_up_at_its_deadline() {
        let (tasks, _failures) = Tasks::new();
        tasks.spawn(std::future::pending());
        assert!(!tasks.drain(Duration::from_secs(1)).await);
    }
}
