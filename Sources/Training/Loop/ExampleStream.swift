import LLaVAPipeline

/// The examples of every step, decided by the recipe's seed and the number of the step alone.
///
/// A source is drawn for each place of a batch, by the sources' weights; within a source examples come in the shuffled
/// order of its epoch. How many examples each source has given is all the state there is.
struct ExampleStream {
    /// Where an example lies.
    struct Place: Hashable {
        var source: Int
        var index: Int
    }

    private let counts: [Int]
    private let weights: [Double]
    private let seed: UInt64
    private var orders: [(epoch: Int, order: ExampleOrder)?]
    /// Examples given so far, by source.
    private(set) var drawn: [Int]

    /// A stream of sources with so many examples each.
    init(counts: [Int], weights: [Double], seed: UInt64, drawn: [Int]? = nil) {
        self.counts = counts
        self.weights = weights
        self.seed = seed
        self.drawn = drawn ?? counts.map { _ in 0 }
        orders = counts.map { _ in nil }
    }

    /// The random choices of a step.
    func random(step: Int) -> SplitMix64 { SplitMix64(seed: seed, stream: 0x57E9, index: step) }

    /// The next examples of a batch.
    mutating func next(_ count: Int, _ random: inout SplitMix64) -> [Place] {
        (0..<count).map { _ in
            let source = draw(&random)
            let (epoch, position) = drawn[source].quotientAndRemainder(dividingBy: counts[source])
            drawn[source] += 1
            return Place(source: source, index: order(of: source, epoch: epoch)[position])
        }
    }

    private func draw(_ random: inout SplitMix64) -> Int {
        // 2^24 parts are enough to tell shares apart, and exact in a double.
        var rest = Double(random.below(1 << 24)) / Double(1 << 24) * weights.reduce(0, +)
        for (source, weight) in weights.enumerated() {
            if rest < weight { return source }
            rest -= weight
        }
        return weights.count - 1
    }

    private mutating func order(of source: Int, epoch: Int) -> ExampleOrder {
        if let known = orders[source], known.epoch == epoch { return known.order }
        let order = ExampleOrder(count: counts[source], seed: seed &+ UInt64(source), epoch: epoch)
        orders[source] = (epoch, order)
        return order
    }
}
