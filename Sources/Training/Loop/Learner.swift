import Foundation
import NeuralNetwork
import Tensors

/// What a training run trains, and on what: the run decides which examples come when, and when to save.
protocol Learner: AnyObject {
    /// Everything that the optimiser changes.
    var parameters: [Parameter] { get }
    /// Averages kept beside the parameters, by the prefix of their `running_mean` and `running_var`.
    var statistics: [String: RunningStatistics] { get }
    /// What is learned from, in the order of the recipe.
    var datasets: [any TrainingDataset] { get }
    /// The largest number of visual tokens; nil if the number is not free.
    var maximumVisualTokens: Int? { get }
    /// The mean loss of a batch at each of some numbers of visual tokens, or once where the number is not free; its
    /// gradients, times `weight`, are added to those of the parameters.
    func learn(_ places: [ExampleStream.Place], visualTokens: [Int]?, weight: Double) throws -> Trainer.Outcome
    /// Where an example comes from, for errors.
    func origin(of place: ExampleStream.Place) -> String
    /// Shares of right answers on the validation data, by data set and kind.
    func evaluate(batch: Int) throws -> [String: Double]
    /// Writes what was trained as a checkpoint.
    func write(to directory: URL) throws
}
