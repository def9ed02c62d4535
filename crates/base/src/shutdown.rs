//! Cancellation, tracked tasks and named critical tasks.
//!
//! Every long-lived task is spawned through [`Tasks`]. If a critical task ends before shutdown begins, by an error, a
//! panic or by returning, [`Failures::first`] resolves and the application drains.

use std::{future::Future, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Time for tasks to end after their connections were closed.
const HANG_UP_GRACE: Duration = Duration::from_secs(1);

/// Closes client connections, unsent data included. Hanging up the parent hangs up every child. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Hangup(CancellationToken);

impl Hangup {
    /// Closes the connections, once and for all.
    pub fn hang_up(&self) {
        self.0.cancel();
    }

    /// Waits for [`Self::hang_up`]; returns at once after it.
    pub async fn hung_up(&self) {
        self.0.cancelled().await;
    }

    /// The hangup of one connection.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }
}

/// Takes the socket of a connection over from HTTP, for a response that outlives the request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Takeover(mpsc::Sender<oneshot::Sender<TcpStream>>);

/// The receiving end of a [`Takeover`], held by the HTTP connection.
pub struct Taken(mpsc::Receiver<oneshot::Sender<TcpStream>>);

impl Takeover {
    /// Creates both ends for one connection.
    pub fn new() -> (Self, Taken) {
        let (request, requests) = mpsc::channel(1);
        (Self(request), Taken(requests))
    }

    /// Returns the socket before any of the response is sent; `None` if the connection has ended. Drops the request's
    /// handler, so the handler itself cannot await this.
    pub async fn take(self) -> Option<TcpStream> {
        let (give, given) = oneshot::channel();
        self.0.send(give).await.ok()?;
        given.await.ok()
    }
}

impl Taken {
    /// Waits until the socket is requested.
    pub async fn requested(&mut self) -> oneshot::Sender<TcpStream> {
        match self.0.recv().await {
            Some(give) => give,
            None => std::future::pending().await,
        }
    }
}

/// The tasks of one application; they are cancelled together. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    token: CancellationToken,
    hangup: Hangup,
    tracker: TaskTracker,
    failures: mpsc::Sender<TaskFailure>,
}

/// A critical task that ended before shutdown.
#[derive(Debug, thiserror::Error)]
#[error("{task} stopped: {reason}")]
pub struct TaskFailure {
    /// The name under which it was spawned.
    pub task: &'static str,
    /// Its error or panic, or that it returned without either.
    pub reason: String,
}

/// Receives the first failure; held by the application.
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
    /// An application without tasks, and the receiver of their failures.
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

    /// Closes every client connection that is still open at the deadline of shutdown.
    pub fn hangup(&self) -> &Hangup {
        &self.hangup
    }

    /// Spawns a task whose end affects no other, such as the session of one client.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Spawns a task whose early end stops the application.
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

    /// Signals every task to end.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Cancels all tasks and waits for them. At the deadline it closes the remaining client connections; returns `false`
    /// if some tasks still do not end.
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
        tokio::time::timeout(HANG_UP_GRACE, self.tracker.wait())
            .await
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn critical_task_panic_is_reported_by_name() {
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
    async fn critical_task_may_end_after_cancellation() {
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
    async fn drain_hangs_up_clients_at_deadline() {
        let (tasks, _failures) = Tasks::new();
        let hangup = tasks.hangup().child();
        tasks.spawn(async move { hangup.hung_up().await });
        assert!(tasks.drain(Duration::from_secs(1)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn drain_gives_up_at_deadline() {
        let (tasks, _failures) = Tasks::new();
        tasks.spawn(std::future::pending());
        assert!(!tasks.drain(Duration::from_secs(1)).await);
    }
}
