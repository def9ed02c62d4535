//! Asks price contracts what they are, over the chain's providers: at the start of every session, then as often as
//! configured, and sooner while something that is needed is not known.

use std::{convert::Infallible, time::Duration};

use futures_util::{StreamExt, stream};

use super::super::{Parts, session::PATIENCE};
use crate::{
    model::BlockRef,
    source::{
        chain::{NodeError, Tag, Work},
        price::{ContractFacts, OnChainSources, Question, Silence},
    },
};

/// Contracts asked at once.
const AT_ONCE: usize = 4;
/// Between two attempts while something is not known, at most.
const SOON: Duration = Duration::from_secs(5);

impl Parts {
    /// Asks all of them, and for the newest answers of feeds, before anything is written; what cannot be had now is
    /// asked later.
    pub(in super::super) async fn ask_contracts_first(&self) {
        let Some(sources) = self.decoder.on_chain() else {
            return;
        };
        sources.ask_anew(self.config.chain_id);
        let asked = self.ask_contracts(sources);
        if tokio::time::timeout(PATIENCE, asked).await.is_err() {
            let chain_id = self.config.chain_id;
            tracing::warn!(
                chain_id,
                "price contracts did not answer within {PATIENCE:?}; they are asked again"
            );
        }
    }

    /// Asks again and again, for as long as it is polled.
    pub(in super::super) async fn follow_contracts(&self) -> Infallible {
        let Some(sources) = self.decoder.on_chain() else {
            return std::future::pending().await;
        };
        let interval = Duration::from_millis(sources.follow_interval_ms());
        loop {
            let wait = if sources.is_waiting(self.config.chain_id) {
                interval.min(SOON)
            } else {
                interval
            };
            tokio::time::sleep(wait).await;
            self.ask_contracts(sources).await;
        }
    }

    /// One turn.
    async fn ask_contracts(&self, sources: &OnChainSources) {
        let chain_id = self.config.chain_id;
        let questions = sources.questions(chain_id);
        if questions.is_empty() {
            return;
        }
        let failed = |error: &NodeError| {
            tracing::warn!(chain_id, %error, "price contracts cannot be asked now");
        };
        let explain = |question: &Question, error: &NodeError| {
            sources.explain(question, Some(Silence::node(error)));
        };
        let head = match self.node.tagged(Tag::Latest).await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => {
                questions.iter().for_each(|one| explain(one, &error));
                return failed(&error);
            }
        };
        let mut answers = stream::iter(questions)
            .map(async |question| (question, self.ask_contract(question, head).await))
            .buffer_unordered(AT_ONCE);
        let mut told = false;
        let mut read = Vec::new();
        while let Some((question, answer)) = answers.next().await {
            match answer {
                Ok((facts, silence)) => {
                    read.extend(sources.learn(&question, &facts, head));
                    sources.explain(&question, silence);
                }
                // One line a turn: the others fail for the same reason as a rule.
                Err(error) => {
                    explain(&question, &error);
                    if !std::mem::replace(&mut told, true) {
                        failed(&error);
                    }
                }
            }
        }
        // Calls are by height: only if the head is still of the node's branch the answers are of that block.
        if read.is_empty() {
            return;
        }
        if self.node.confirm(head).await.is_err() {
            sources.ask_anew(chain_id);
            return;
        }
        for answer in read {
            self.answers.add(answer);
        }
    }

    async fn ask_contract(
        &self,
        question: Question,
        head: BlockRef,
    ) -> Result<(ContractFacts, Option<Silence>), NodeError> {
        self.node
            .attempt(
                Work::Live,
                |node| async move { question.ask(&node, head).await },
            )
            .await
    }
}
