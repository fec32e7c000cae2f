public import Tensors

/// A trained map of low rank beside a frozen one: y = x wᵀ + α/r · (x aᵀ) bᵀ.
///
/// The frozen weight may be of any type, block-quantised too; gradients pass through it to what lies below.
///
/// Source: LoRA (arXiv 2106.09685); names of weights as Hugging Face's PEFT stores them.
public struct LowRankAdapter: Sendable {
    /// Map to the few, `[r, in]`.
    public let a: Tensor
    /// Map from the few, `[out, r]`; 0 where training begins.
    public let b: Tensor
    /// α / r.
    public let scale: Float

    /// What is added to the frozen map's output, `[..., in]` -> `[..., out]`.
    func callAsFunction(_ x: Tensor) -> Tensor { product(product(x, a), b).scaled(by: scale) }

    /// One weight that does what both do, `[out, in]` float32.
    public func merged(into weight: Tensor) -> Tensor {
        weight.widened + product(b.untracked, a.untracked, layout: .inOut).scaled(by: scale)
    }
}

/// Which maps of a model get adapters, and of what rank.
public struct LowRankAdaptation: Sendable {
    /// r, the rank of adapters that are made anew; those that are read bring their own.
    public var rank: Int
    /// α, the scale of an adapter of rank 1.
    public var alpha: Float
    /// Start of the random values of `a`.
    public var seed: UInt64
    /// Whether a map is adapted, by the name of its weight; asked where no adapter is among the tensors.
    public var isAdapted: @Sendable (String) -> Bool

    /// Adapters of rank `rank` for the maps that `isAdapted` names.
    public init(
        rank: Int, alpha: Float, seed: UInt64 = 0, isAdapted: @escaping @Sendable (String) -> Bool = { _ in false }
    ) {
        self.rank = rank
        self.alpha = alpha
        self.seed = seed
        self.isAdapted = isAdapted
    }
}

extension WeightReader {
    /// The adapter of the map under the reader's prefix: that among the tensors, or a new one, which is trained; nil if
    /// the map has none.
    func lowRankAdapter(inputs: Int, outputs: Int) -> LowRankAdapter? {
        guard let adaptation else { return nil }
        let adapter: LowRankAdapter
        if let stored = shape(of: "lora_A.weight") {
            let rank = stored.first ?? 1
            adapter = LowRankAdapter(
                a: matrix("lora_A.weight", [rank, inputs]), b: matrix("lora_B.weight", [outputs, rank]),
                scale: adaptation.alpha / Float(max(1, rank)))
        } else if adaptation.isAdapted(fullName("weight")) {
            let name = fullName("weight")
            // The values depend on the name alone, not on what was asked for before.
            let digest = name.utf8.reduce(adaptation.seed ^ 0xCBF2_9CE4_8422_2325) {
                ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3
            }
            var initializer = WeightInitializer(seed: digest)
            let bound = 1 / Float(inputs).squareRoot()
            let a = initializer.uniform([adaptation.rank, inputs], bound: bound)
            adapter = LowRankAdapter(
                a: parameter("lora_A.weight", drawn: a),
                b: parameter("lora_B.weight", drawn: Tensor(repeating: 0, shape: [outputs, adaptation.rank])),
                scale: adaptation.alpha / Float(adaptation.rank))
        } else {
            return nil
        }
        remember(adapter, of: "weight")
        return adapter
    }
}
