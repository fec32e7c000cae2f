import CKernels
import Foundation
import Synchronization

/// How products with block-quantised weights are computed where no gradient is wanted.
public enum QuantizedProducts: String, Sendable {
    /// Weights are widened to float32: the product that the file's numbers define, to the rounding of float32.
    case exact
    /// Rows are rounded in blocks of 32 and multiplied in integers: several times faster. Of 8 bits, as llama.cpp has it by
    /// default, some thousandths are lost; a model may want more where that matters. Attention between such products may round
    /// as well (`attention(queries:keys:values:heads:keyValueHeads:mask:mayRound:)`).
    case native
}

/// What native products keep of the rows that they multiply, in blocks of 32.
public enum RowPrecision: Sendable {
    /// Integers of 8 bits: a value is off by at most 1/254 of its block's largest magnitude.
    case eightBits
    /// The same, but 16 bits in blocks whose largest magnitude is above twice the mean of the row's blocks: where a few
    /// channels are tens of times larger than others, as after the norms of a LLaMA decoder, they would hide these in their
    /// rounding. Such blocks take twice the multiply-adds; of SmolLM2's they are a twelfth.
    case fineOutliers
}

/// When weights are packed into panels that native products keep.
public enum WeightPacking: Sendable {
    /// When the first product wants them: what follows is as fast as it gets.
    case atOnce
    /// Weights that are stored in blocks after some products that read these where they lie: a first answer does not wait for it,
    /// and if it is short nothing is packed at all; a long one packs on its way, some weights with every token. Weights that are
    /// rounded to rows of integers with the second product.
    case afterSomeUse
    /// Weights that are stored in blocks never: that saves the memory, and takes longer (`vlm bench decoder --in-place`). Others
    /// as above.
    case never
}

/// A weight `[out, in]` in blocks or rows of integers, as native products read it.
///
/// Products read panels of 16 rows, which are made for them and kept: `byteCount` beside what the weight itself takes, which
/// for weights of a mapped file the system may drop from memory. Blocks can also be read where they lie, with the same result;
/// `WeightPacking` says when.
public final class NativeWeight: Sendable {
    let weight: Tensor
    /// What the panels hold: blocks, or int8 for rows of integers with one scale each.
    let type: ElementType
    private let state = Mutex(State())

    private struct State {
        var panels: TensorStorage?
        /// Products that wanted panels when there were none.
        var reads = 0
    }

    /// The weight, packed later. Nil if it is neither stored in blocks nor to be rounded.
    /// - Parameter type: what a weight that is stored in plain elements is rounded to when it is packed: Q8_0, Q4_0, or int8
    ///   for rows with one scale each. It stays as it is where its rows are not multiples of 32, or too long for sums of 32
    ///   bits. Weights that are stored in blocks keep these.
    public init?(_ weight: Tensor, as type: ElementType? = nil) {
        let type = weight.elementType.isBlockQuantized ? weight.elementType : type
        guard let type, weight.rank == 2, weight.shape[1].isMultiple(of: 32) else { return nil }
        guard type.isBlockQuantized ? type.fits(weight.shape) : type == .int8 && weight.shape[1] <= 1 << 16 else {
            return nil
        }
        self.weight = weight
        self.type = type
    }

    private var panelCount: Int { (weight.shape[0] + panelColumns - 1) / panelColumns }
    private var panelBytes: Int {
        let depth = Int64(weight.shape[1])
        return Int(type == .int8 ? vlm_int8_panel_bytes(depth) : vlm_quantized_panel_bytes(type.kernelStorage, depth))
    }
    fileprivate var panelColumns: Int { Int(vlm_quantized_panel_columns()) }

    /// Bytes of the panels: those of the blocks, but for Q5 and Q6 a byte an element, and rows are rounded up to 16.
    public var byteCount: Int { panelCount * panelBytes }

    /// What holds the blocks in the order of the file: the weight, or what its rows are regrouped from.
    private var source: (tensor: Tensor, regrouped: RegroupedRows?) {
        // Panels are not to straddle what comes from even and from odd rows.
        guard let rows = weight.storage.regroupedRows, weight.shape == rows.source.shape,
            rows.run.isMultiple(of: 2 * panelColumns)
        else { return (weight, nil) }
        return (rows.source, rows)
    }

    /// The first block, and how many rows are regrouped together; 0 if none are.
    fileprivate var stored: (first: UnsafePointer<UInt8>, run: Int) {
        let (tensor, regrouped) = source
        return (tensor.rawPointer.assumingMemoryBound(to: UInt8.self), regrouped?.run ?? 0)
    }

    /// Whether there are panels.
    public var isPacked: Bool { state.withLock { $0.panels != nil } }

    /// Products that read blocks where they lie before these are packed: 32 to 95, by where in its file the weight is, so that
    /// no token waits for all of them.
    private var patience: Int {
        32 + Int((UInt64(source.tensor.byteOffset / 32) &* 0x9E37_79B9_7F4A_7C15) >> 58)
    }

    /// The panels, made now if it is time; nil if blocks are to be read where they lie. Other threads that want them wait. Those
    /// of rounded rows are kept from the second time on: a tower that sees one picture then needs no memory for them that the
    /// system would clear first, which takes longer than to round.
    fileprivate func panels(in context: ComputeContext) -> TensorStorage? {
        state.withLock { state in
            if let panels = state.panels { return panels }
            state.reads += 1
            if waits(for: state.reads, in: context) { return nil }
            let isKept = type != .int8 || context.packing == .atOnce || state.reads > 1
            let made = TensorStorage(byteCount: byteCount, isHuge: isKept)
            pack(into: made, context)
            if isKept { state.panels = made }
            return made
        }
    }

    /// Whether the product with this number is to read blocks where they lie.
    private func waits(for read: Int, in context: ComputeContext) -> Bool {
        // (Kernels count a few rows' bytes in 32 bits.)
        guard type.isBlockQuantized, weight.elementType == type, context.kernels.table.pointee.open_rows != nil,
            type.byteCount(of: weight.shape[1]) < 1 << 24
        else { return false }
        return switch context.packing {
        case .atOnce: false
        case .afterSomeUse: read <= patience
        case .never: true
        }
    }

    private func pack(into made: TensorStorage, _ context: ComputeContext) {
        let (rows, depth, bytes) = (weight.shape[0], weight.shape[1], panelBytes)
        let (kernels, width) = (context.kernels.table, panelColumns)
        let (tensor, regrouped) = source
        context.pool.run(panelCount) { panel in
            let first = panel * width
            let columns = min(width, rows - first)
            let target = (made.base + panel * bytes).assumingMemoryBound(to: UInt8.self)
            func pack(_ blocks: UnsafeRawPointer, stride: Int) {
                vlm_quantized_pack(
                    type.kernelStorage, Int64(columns), Int64(depth), blocks, Int64(stride), target)
            }
            if tensor.elementType == type {
                let rowBytes = type.byteCount(of: depth)
                let place = regrouped?.origin(first) ?? first
                pack(tensor.rawPointer + place * rowBytes, stride: regrouped == nil ? rowBytes : 2 * rowBytes)
            } else if type == .int8 {
                let wide = weight[first..<first + columns].widened
                let scratch = Scratch(depth)
                var integers = [Int8](repeating: 0, count: depth)
                withExtendedLifetime(wide) {
                    vlm_int8_pack(
                        kernels, Int64(columns), Int64(depth), wide.floatPointer, scratch.floats, &integers, target)
                }
            } else {
                let blocks = weight[first..<first + columns].roundedToBlocks(of: type)
                withExtendedLifetime(blocks) { pack(blocks.rawPointer, stride: type.byteCount(of: depth)) }
            }
        }
    }
}

extension Tensor {
    /// Rows in blocks of another type, on one thread; a row that holds what cannot be stored becomes not a number, as what
    /// it is multiplied with would be.
    fileprivate func roundedToBlocks(of type: ElementType) -> Tensor {
        let (rows, depth, wide) = (rows, columns, widened)
        let storage = TensorStorage(byteCount: type.byteCount(of: count))
        withExtendedLifetime(wide) {
            for row in 0..<rows {
                let (values, target) = (wide.floatPointer + row * depth, storage.base + row * type.byteCount(of: depth))
                guard vlm_narrow(type.kernelStorage, Int64(depth), values, target) >= 0 else { continue }
                // A float16 that is not a number, as the scale of every block.
                memset(target, 0x7F, type.byteCount(of: depth))
            }
        }
        return Tensor(shape: shape, elementType: type, storage: storage, byteOffset: 0)
    }
}

/// One map of several that are applied to the same rows: activation(x wᵀ + bias) + residual.
public struct NativeMap {
    let weight: NativeWeight
    let bias: Tensor?
    let activation: Activation
    let residual: Tensor?

    /// The map with a weight `[out, in]`, a float32 bias `[out]` and a float32 residual `[..., out]`.
    public init(
        _ weight: NativeWeight, bias: Tensor? = nil, activation: Activation = .identity, residual: Tensor? = nil
    ) {
        precondition(bias == nil || bias?.count == weight.weight.shape[0], "bias \(bias?.shape ?? [])")
        self.weight = weight
        self.bias = bias
        self.activation = activation
        self.residual = residual
    }

    /// Whether the current context wants native products of `x`, and nobody wants their gradients.
    public func isWanted(for x: Tensor) -> Bool {
        ComputeContext.current.quantizedProducts == .native && !isTracking(x, bias, residual)
    }
}

/// Up to so many rows a product waits for its weights.
private let fewRows = 16

/// Native products of the same rows with several weights: rows are rounded once.
///
/// A row's bytes depend neither on the number of rows, nor on the threads, nor on the kernels.
/// - Parameters:
///   - x: float32 `[..., in]`, the same `in` for every map.
///   - precision: what is kept of the rows in products with blocks; with rows of int8 it is always 8 bits.
/// - Returns: float32 `[..., out]` for each map.
/// - Complexity: O(rows · in · out) multiply-adds of 8 bits a map.
public func nativeProducts(_ x: Tensor, _ maps: [NativeMap], precision: RowPrecision = .eightBits) -> [Tensor] {
    nativeProducts(x, maps, precision, isGated: false)
}

/// The product of two native products, `gate` and `up` of the same shape: gate(x) · up(x), element by element.
///
/// The gate's columns are still in the cache when those of `up` are multiplied with them. Parameters are as above.
public func gatedNativeProduct(
    _ x: Tensor, gate: NativeMap, up: NativeMap, precision: RowPrecision = .eightBits
) -> Tensor {
    precondition(gate.weight.weight.shape == up.weight.weight.shape, "a gate of another shape")
    return nativeProducts(x, [gate, up], precision, isGated: true)[1]
}

/// - Parameter isGated: whether the second map is multiplied with the first.
private func nativeProducts(_ x: Tensor, _ maps: [NativeMap], _ precision: RowPrecision, isGated: Bool) -> [Tensor] {
    let context = ComputeContext.current
    // Rounded in the two ways that maps may ask for, each if one does.
    let blocks = maps.contains { $0.weight.type != .int8 } ? QuantizedRows(x, precision, context) : nil
    let whole = maps.contains { $0.weight.type == .int8 } ? QuantizedRows(x, nil, context) : nil
    var results: [Tensor] = []
    var calls: [vlm_quantized_product] = []
    // What holds the panels that the calls point to.
    var panels: [TensorStorage] = []
    for map in maps {
        let weight = map.weight.weight
        precondition(weight.shape[1] == x.columns, "product of \(x.shape) with \(weight.shape)")
        let (result, c) = Tensor.uninitialized(shape: x.shape.dropLast() + [weight.shape[0]])
        precondition(map.residual.map { $0.count == result.count } ?? true, "residual \(map.residual?.shape ?? [])")
        let storage = map.weight.panels(in: context)
        guard let rows = map.weight.type == .int8 ? whole : blocks else { preconditionFailure("rows were not rounded") }
        let stored = storage == nil ? map.weight.stored : nil
        context.operations?.add(
            int8MultiplyAdds: x.rows * weight.count,
            ofSecondParts: (rows.outliers?.count ?? 0) * 32 * weight.shape[0],
            bytesRead: storage?.byteCount ?? weight.byteCount)
        calls.append(
            vlm_quantized_product(
                rows: Int64(x.rows), columns: Int64(weight.shape[0]), depth: Int64(x.columns),
                q: rows.integers, ldq: Int64(rows.stride), blocks: rows.blocks, outliers: rows.outliers?.bits,
                outlier_starts: rows.outliers?.starts, outlier_rows: rows.outliers?.rows,
                w_type: map.weight.type.kernelStorage,
                panels: (storage?.base).map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) },
                weight: stored?.first, run: Int64(stored?.run ?? 0), c: c,
                ldc: Int64(weight.shape[0]),
                epilogue: vlm_epilogue(
                    bias: map.bias, map.activation, residual: map.residual, columns: weight.shape[0])))
        results.append(result)
        if let storage { panels.append(storage) }
    }
    if isGated { calls[1].epilogue.factor = UnsafePointer(calls[0].c) }
    // Tasks of equal numbers of columns: several for each thread, so that one that is late holds up little. Of few rows each takes
    // little more time than to be handed out.
    let columns = Int(vlm_quantized_panel_columns())
    let counts = (isGated ? [calls[0]] : calls).map { (Int($0.columns) + columns - 1) / columns }
    // An even number: two panels beside each other share what is broadcast of the rows.
    let share = counts.reduce(0, +) / (context.pool.threadCount * (x.rows > fewRows ? 16 : 6))
    let perTask = max(2, share & ~1)
    let tasks = counts.indices.flatMap { index in
        stride(from: 0, to: counts[index], by: perTask).map {
            (calls: isGated ? 0..<2 : index..<index + 1, first: $0 * columns)
        }
    }
    let kernels = context.kernels.table
    withExtendedLifetime((blocks, whole, panels, maps)) {
        let scratch = calls.map { withUnsafePointer(to: $0) { vlm_quantized_scratch(kernels, $0) } }.max() ?? 0
        context.pool.run(tasks.count, scratch: scratch) { index, scratch in
            let (some, first) = tasks[index]
            for call in some {
                withUnsafePointer(to: calls[call]) {
                    let end = min(Int($0.pointee.columns), first + perTask * columns)
                    vlm_quantized_columns(kernels, $0, Int64(first), Int64(end), scratch)
                }
            }
        }
    }
    return results
}

/// Rows rounded to 8 bits, in blocks of 32, and after all of them what that left of blocks that stand out; or each with one
/// scale.
private final class QuantizedRows {
    private let memory: TensorStorage
    let integers: UnsafeMutablePointer<Int8>
    let blocks: UnsafeMutablePointer<vlm_row_block>
    /// Which blocks stand out; nil if rows have one scale each, or none does.
    let outliers: Outliers?
    /// Integers from one row to the next: an odd number of cache lines, so that the rows of a tile do not meet in the same
    /// sets of the cache.
    let stride: Int

    /// Blocks of rows of which there is a rest.
    struct Outliers {
        private let storage, lists: TensorStorage
        /// A bit for every block of every row.
        let bits: UnsafeMutablePointer<UInt64>
        /// The same by blocks: where the rows of each begin in a list of them.
        let starts, rows: UnsafeMutablePointer<Int32>
        /// How many there are.
        let count: Int

        /// What the rows' bits say; nil if no block stands out.
        init?(_ bits: TensorStorage, rows rowCount: Int, depth: Int) {
            let words = rowCount * Int(vlm_outlier_words(Int64(depth)))
            self.bits = bits.base.bindMemory(to: UInt64.self, capacity: words)
            count = UnsafeBufferPointer(start: self.bits, count: words).reduce(0) { $0 + $1.nonzeroBitCount }
            guard count > 0 else { return nil }
            let lists = TensorStorage(byteCount: (depth / 32 + 1 + count) * 4)
            starts = lists.base.bindMemory(to: Int32.self, capacity: depth / 32 + 1 + count)
            rows = starts + depth / 32 + 1
            vlm_list_outliers(Int64(rowCount), Int64(depth), self.bits, starts, rows)
            (storage, self.lists) = (bits, lists)
        }
    }

    /// - Parameter precision: of blocks; nil for one scale a row.
    init(_ x: Tensor, _ precision: RowPrecision?, _ context: ComputeContext) {
        let (depth, count) = (x.columns, x.rows)
        let perRow = precision == nil ? 1 : depth / 32
        let parts = precision == .fineOutliers ? 2 : 1
        stride = ((depth + 63) / 64 | 1) * 64
        let (integerCount, blockCount) = (parts * count * stride, parts * count * perRow)
        memory = TensorStorage(byteCount: integerCount + blockCount * MemoryLayout<vlm_row_block>.stride)
        integers = memory.base.bindMemory(to: Int8.self, capacity: integerCount)
        blocks = (memory.base + integerCount).bindMemory(to: vlm_row_block.self, capacity: blockCount)
        let words = Int(vlm_outlier_words(Int64(depth)))
        let bits = parts == 2 ? TensorStorage(byteCount: count * words * 8) : nil
        let firstWord = bits?.base.bindMemory(to: UInt64.self, capacity: count * words)
        let (kernels, floats, integers, blocks, stride) = (
            context.kernels.table, x.floatPointer, integers, blocks, stride
        )
        context.forEachRows(count, columns: depth) { rows in
            let scratch = Scratch(precision == nil ? depth : 0)
            for row in rows {
                let (values, q, block) = (floats + row * depth, integers + row * stride, blocks + row * perRow)
                guard precision != nil else {
                    kernels.pointee.int8_row(Int64(depth), values, scratch.floats, q, block)
                    continue
                }
                kernels.pointee.quantize_row(Int64(depth), values, q, block)
                guard let firstWord else { continue }
                vlm_quantize_rest(
                    kernels, Int64(depth), values, q, block, q + count * stride, block + count * perRow,
                    firstWord + row * words)
            }
        }
        outliers = bits.flatMap { Outliers($0, rows: count, depth: depth) }
    }
}
