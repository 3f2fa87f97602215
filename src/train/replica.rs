//! A thread with its own copy of the model's structure over the shared parameters: batch in, gradients out.
//!
//! Data parallelism without copies: the replicas' variables are views of one vector, their gradients are their own.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tch::{Device, Kind, Tensor, nn};

use super::TrainError;
use super::adam::{Parameters, take_gradients};
use super::batch::{Batch, PADDING, Tensors};
use super::loss;
use super::options::{Task, TrainOptions};
use crate::model::{LanguageModel, ModelConfig, SpeechTranslator, TextTranslator, Utterances};

/// The network of a stage.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) store: nn::VarStore,
    model: Model,
    task: Task,
}

#[derive(Debug)]
enum Model {
    Speech(SpeechTranslator),
    Text(TextTranslator),
    Language(LanguageModel),
}

impl Model {
    fn config(&self) -> &ModelConfig {
        match self {
            Self::Speech(model) => model.config(),
            Self::Text(model) => model.config(),
            Self::Language(model) => model.config(),
        }
    }

    /// What there is to translate.
    fn encode(&self, t: &Tensors, train: bool) -> Option<Utterances> {
        match self {
            Self::Speech(model) => Some(model.encode(&t.frames, &t.num_frames, train)),
            Self::Text(model) => Some(model.encode(&t.labels, &t.num_labels, train)),
            Self::Language(_) => None,
        }
    }
}

/// Sums over a batch; [`Losses::add`] them, then divide.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Losses {
    /// Cross-entropy, natural log, without smoothing when measuring.
    pub(crate) cross_entropy: f64,
    /// CTC loss.
    pub(crate) ctc: f64,
    /// Target tokens.
    pub(crate) tokens: f64,
    /// Source labels.
    pub(crate) labels: f64,
    /// Seconds of audio.
    pub(crate) seconds: f64,
}

impl Losses {
    pub(crate) fn add(&mut self, other: &Self) {
        self.cross_entropy += other.cross_entropy;
        self.ctc += other.ctc;
        self.tokens += other.tokens;
        self.labels += other.labels;
        self.seconds += other.seconds;
    }
}

impl Network {
    /// `reader_vocab` is the number of source pieces of [`Task::Text`]; none elsewhere.
    pub(crate) fn new(
        task: Task,
        config: &ModelConfig,
        reader_vocab: Option<usize>,
        device: Device,
        bf16: bool,
    ) -> Self {
        let store = nn::VarStore::new(device);
        let product = if bf16 { Kind::BFloat16 } else { Kind::Float };
        let model = match reader_vocab {
            Some(vocab) => Model::Text(TextTranslator::new(&store.root(), vocab, config, product)),
            None if task == Task::Lm => Model::Language(LanguageModel::new(&store.root(), config, product)),
            None => Model::Speech(SpeechTranslator::new(&store.root(), config, product)),
        };
        Self { store, model, task }
    }

    /// The loss of a batch, and its parts.
    pub(crate) fn loss(&self, batch: &Batch, options: &TrainOptions, train: bool) -> (Tensor, Losses) {
        let device = self.store.device();
        let config = self.model.config();
        let t = batch.tensors(config, device);
        let source = self.model.encode(&t, train);
        let smoothing = if train { options.label_smoothing } else { 0.0 };
        let (mut total, mut losses) = (Tensor::zeros([], (Kind::Float, device)), Losses::default());
        losses.seconds = batch.seconds(config);
        if let (Model::Speech(model), Some(source)) = (&self.model, &source) {
            let ctc = loss::ctc(&model.ctc(&source.steps), &source.num_steps, &t.labels, &t.num_labels);
            let weight = if self.task == Task::Ctc { 1.0 } else { options.ctc_weight };
            // Where nobody speaks there is no label, and still each clip counts for something.
            total += &ctc * (weight / t.total_labels.max(batch.items.len()) as f64);
            losses.ctc = ctc.double_value(&[]);
            losses.labels = t.total_labels as f64;
        }
        if self.task != Task::Ctc {
            let scores = match (&self.model, &source) {
                (Model::Speech(model), Some(source)) => {
                    model.decode(&t.inputs, source, &t.visible, batch.reach(config), train)
                }
                (Model::Text(model), Some(source)) => model.decode(&t.inputs, source, &t.visible, None, train),
                (Model::Language(model), _) => model.score(&t.inputs, train),
                (_, None) => unreachable!("all but language models encode"),
            };
            let loss = loss::cross_entropy(&scores, &t.targets, PADDING, smoothing);
            total += &loss / t.num_tokens as f64;
            losses.cross_entropy = loss.double_value(&[]);
            losses.tokens = t.num_tokens as f64;
        }
        (total, losses)
    }
}

/// A replica's thread.
#[derive(Debug)]
pub(crate) struct Replica {
    batches: SyncSender<Batch>,
    gradients: Receiver<(Tensor, Losses)>,
}

impl Replica {
    /// Starts a thread that shares `parameters`.
    pub(crate) fn start(parameters: &Parameters, network: Network, options: &TrainOptions) -> Self {
        parameters.attach(&network.store);
        let (batches, inbox) = sync_channel::<Batch>(1);
        let (outbox, gradients) = sync_channel(1);
        let options = options.clone();
        thread::spawn(move || {
            tch::set_num_threads(1);
            while let Ok(batch) = inbox.recv() {
                tch::manual_seed(batch.seed as i64);
                let (loss, losses) = network.loss(&batch, &options, true);
                loss.backward();
                let flat = tch::no_grad(|| take_gradients(&network.store));
                if outbox.send((flat, losses)).is_err() {
                    return;
                }
            }
        });
        Self { batches, gradients }
    }

    pub(crate) fn send(&self, batch: Batch) -> Result<(), TrainError> {
        self.batches.send(batch).map_err(|_| TrainError::Worker("a replica ended (see the message above)".to_owned()))
    }

    pub(crate) fn receive(&self) -> Result<(Tensor, Losses), TrainError> {
        self.gradients.recv().map_err(|_| TrainError::Worker("a replica ended (see the message above)".to_owned()))
    }
}
