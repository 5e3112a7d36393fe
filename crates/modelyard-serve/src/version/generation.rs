//! Continuing texts: a language model's tokens, drawn one by one. Each takes one run of the network, which shares its
//! batch with the runs of other requests.

use modelyard_data::{Answer, ColumnData, Continuing, Language, OutputActivation, Prediction, Row};
use modelyard_model::{Sampler, Sampling};
use modelyard_types::{Deadline, NamedTensor, Tensor, TensorData};
use tokio::sync::mpsc::Sender;

use super::rows::misfit_rows;
use super::{Answered, ServedVersion};
use crate::error::ServeError;
use crate::statistics::Times;

/// How texts are to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// How boldly tokens are drawn.
    pub sampling: Sampling,
    /// The same seed gives the same text.
    pub seed: u64,
    /// Most tokens of one continuation.
    pub tokens_max: usize,
    /// Texts at which it ends; they are not part of it.
    pub stop: Vec<String>,
}

/// Tells a piece of a text, where somebody wants to hear it; one who went away hears nothing.
async fn say(tell: Option<&Sender<String>>, piece: &str) {
    if let (Some(tell), false) = (tell, piece.is_empty()) {
        let _ = tell.send(piece.to_owned()).await;
    }
}

impl Default for Generation {
    fn default() -> Self {
        Self { sampling: Sampling::default(), seed: 0, tokens_max: 128, stop: Vec::new() }
    }
}

impl ServedVersion {
    /// Whether it is a language model, which continues texts.
    pub fn continues_texts(&self) -> bool {
        self.language().is_some()
    }

    fn language(&self) -> Option<Language<'_>> {
        self.pipeline.as_ref()?.language()
    }

    /// Beginnings of texts by name in, their continuations out.
    ///
    /// # Errors
    /// As [`ServedVersion::predict`], and where the settings can never work.
    pub async fn generate(
        &self,
        rows: &[Row],
        wish: &Generation,
        deadline: Deadline,
    ) -> Result<Answered<Vec<Answer>>, ServeError> {
        let arrived = self.arrive();
        arrived.end(self.continue_rows(rows, wish, (deadline, None)).await)
    }

    /// The same of one row, and tells each piece of the text as soon as it stays.
    ///
    /// # Errors
    /// As [`ServedVersion::generate`].
    pub async fn generate_telling(
        &self,
        row: Row,
        wish: &Generation,
        deadline: Deadline,
        tell: &Sender<String>,
    ) -> Result<Answered<Answer>, ServeError> {
        let arrived = self.arrive();
        let continued = self.continue_rows(&[row], wish, (deadline, Some(tell))).await;
        arrived.end(continued.and_then(|Answered { mut answer, times }| match answer.pop() {
            Some(answer) => Ok(Answered { answer, times }),
            None => Err(self.broken("one row has no answer")),
        }))
    }

    async fn continue_rows(
        &self,
        rows: &[Row],
        wish: &Generation,
        (deadline, tell): (Deadline, Option<&Sender<String>>),
    ) -> Result<Answered<Vec<Answer>>, ServeError> {
        let (Some(pipeline), Some(language)) = (&self.pipeline, self.language()) else {
            return Err(ServeError::NoPipeline { model: self.model.clone() });
        };
        self.check_rows(rows.len())?;
        let data = pipeline.dataset_from_rows(rows).map_err(misfit_rows)?;
        let Some(ColumnData::Texts(texts)) = data.column(language.input()) else {
            return Err(self.broken("its pipeline has no text"));
        };
        let mut all = Answered { answer: Vec::with_capacity(rows.len()), times: Times::default() };
        for text in texts.iter() {
            let Answered { answer, times } =
                self.continue_text(language, text, wish, (deadline, tell)).await?;
            all.answer.push(answer);
            all.times += times;
        }
        Ok(all)
    }

    async fn continue_text(
        &self,
        language: Language<'_>,
        text: &str,
        wish: &Generation,
        (deadline, tell): (Deadline, Option<&Sender<String>>),
    ) -> Result<Answered<Answer>, ServeError> {
        let refused = |error| ServeError::Generation(Box::new(error));
        let never = language.never_drawn();
        let mut sampler = Sampler::new(wish.sampling.clone(), &never, wish.seed).map_err(refused)?;
        let mut window = language.prompt(text);
        window.drain(..window.len().saturating_sub(language.steps()));
        let mut growing = Continuing::new(language, &wish.stop, wish.tokens_max);
        let (mut all, mut told) = (Times::default(), 0);
        loop {
            let Answered { answer: logits, times } = self.logits(language, &window, deadline).await?;
            all += times;
            let token = sampler.sample(&logits).map_err(refused)?;
            if let Some(whole) = growing.push(token) {
                say(tell, &whole.text[told..]).await;
                let outputs = vec![(language.output().to_owned(), Prediction::Text(whole))];
                return Ok(Answered { answer: Answer { outputs }, times: all });
            }
            say(tell, &growing.settled()[told..]).await;
            told = growing.settled().len();
            if window.len() == language.steps() {
                window.remove(0);
            }
            window.push(token);
        }
    }

    /// What the network expects after these tokens.
    async fn logits(
        &self,
        language: Language<'_>,
        window: &[u32],
        deadline: Deadline,
    ) -> Result<Answered<Vec<f32>>, ServeError> {
        let mut values: Vec<f32> = window.iter().map(|&token| token as f32).collect();
        // Behind the last token a causal network does not look.
        values.resize(language.steps(), 0.0);
        let tensor = Tensor::new(vec![1, values.len()], TensorData::F32(values));
        let tensor = tensor.map_err(|error| self.broken(&format!("its prompt is no tensor ({error})")))?;
        let input = NamedTensor { name: self.signature().inputs[0].name.clone(), tensor };
        let Answered { answer: outputs, times } = self.answer(vec![input], &[], deadline.into()).await?;
        let all = outputs.first().and_then(|output| output.tensor.as_f32());
        let end = window.len() * language.logits();
        let step = all.and_then(|values| values.get(end - language.logits()..end));
        let mut logits =
            step.ok_or_else(|| self.broken("its network gives no logits at each step"))?.to_vec();
        let activation = self.pipeline.as_ref().map(|pipeline| pipeline.output_activation());
        if activation == Some(OutputActivation::Softmax) {
            logits.iter_mut().for_each(|value| *value = value.ln());
        }
        Ok(Answered { answer: logits, times })
    }
}
