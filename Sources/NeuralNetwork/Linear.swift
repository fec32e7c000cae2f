public import Tensors

/// The affine map y = x wᵀ + b.
public struct Linear: Sendable {
    /// `[out, in]`, in the type the checkpoint stores.
    public let weight: Tensor
    /// `[out]` float32, or nil.
    public let bias: Tensor?
    /// A map of low rank beside this one.
    private let adapter: LowRankAdapter?
    /// What native products read, of a block-quantised weight.
    private let packed: NativeWeight?

    /// A map with the given weight `[out, in]` and bias `[out]`.
    /// - Parameter blocks: what native products round a weight to that is not stored in blocks; nil for none.
    public init(
        weight: Tensor, bias: Tensor? = nil, adapter: LowRankAdapter? = nil, quantizedTo blocks: ElementType? = nil
    ) {
        self.weight = weight
        self.bias = bias
        self.adapter = adapter
        packed = NativeWeight(weight, as: blocks)
    }

    /// Reads `weight`, `bias` if `hasBias`, and an adapter if there is one, under the reader's prefix.
    public init(_ weights: WeightReader, inputs: Int, outputs: Int, hasBias: Bool) {
        self.init(
            weight: weights.matrix("weight", [outputs, inputs]), bias: hasBias ? weights.vector("bias", outputs) : nil,
            adapter: weights.lowRankAdapter(inputs: inputs, outputs: outputs), quantizedTo: weights.blocks)
    }

    /// activation(x wᵀ + b) + residual, `[..., in]` -> `[..., out]`.
    /// - Parameters:
    ///   - residual: what is added at the end, `[..., out]`.
    ///   - isRowInvariant: whether a row's bytes must be the same however many rows there are.
    ///   - precision: what a native product keeps of the rows.
    public func callAsFunction(
        _ x: Tensor, activation: Activation = .identity, residual: Tensor? = nil, isRowInvariant: Bool = false,
        precision: RowPrecision = .eightBits
    ) -> Tensor {
        guard let adapter else { return frozen(x, activation, residual, isRowInvariant, precision) }
        let sum = frozen(x, .identity, nil, isRowInvariant, precision) + adapter(x)
        let y = activation == .identity ? sum : sum.activated(by: activation)
        return residual.map { $0 + y } ?? y
    }

    private func frozen(
        _ x: Tensor, _ activation: Activation, _ residual: Tensor?, _ isRowInvariant: Bool, _ precision: RowPrecision
    ) -> Tensor {
        if let map = native(for: x, activation, residual: residual) {
            return nativeProducts(x, [map], precision: precision)[0]  // rows are invariant
        }
        return product(
            x, weight, bias: bias, activation: activation, residual: residual, isRowInvariant: isRowInvariant)
    }

    /// Whether the product of these rows is one of integers: then what leads to them may be rounded as well.
    public func isRounded(for x: Tensor) -> Bool { native(for: x) != nil }

    /// Whether the map is its weight and bias alone.
    fileprivate var isPlain: Bool { adapter == nil }

    fileprivate func native(
        for x: Tensor, _ activation: Activation = .identity, residual: Tensor? = nil
    ) -> NativeMap? {
        guard let packed else { return nil }
        let map = NativeMap(packed, bias: bias, activation: activation, residual: residual)
        return map.isWanted(for: x) ? map : nil
    }
}

extension Tensor {
    /// Several maps of the same rows. Those with native products share the rounding of the rows.
    /// - Parameter precision: what native products keep of the rows.
    public func mapped(by maps: Linear..., precision: RowPrecision = .eightBits) -> [Tensor] {
        let native = maps.compactMap { $0.isPlain ? $0.native(for: self) : nil }
        return native.count == maps.count
            ? nativeProducts(self, native, precision: precision) : maps.map { $0(self, precision: precision) }
    }

    /// silu(gate(x)) · up(x), the gated hidden state of a feed-forward network (SwiGLU, arXiv 2002.05202).
    /// - Parameter precision: what native products keep of the rows.
    public func gated(by gate: Linear, _ up: Linear, precision: RowPrecision = .eightBits) -> Tensor {
        if gate.isPlain, up.isPlain, let gate = gate.native(for: self, .silu), let up = up.native(for: self) {
            return gatedNativeProduct(self, gate: gate, up: up, precision: precision)
        }
        return siluGated(gate(self, precision: precision), up(self, precision: precision))
    }
}
