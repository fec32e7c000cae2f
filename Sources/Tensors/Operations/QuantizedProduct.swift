import CKernels
import Foundation
import Synchronization

/// How products with block-quantised weights are computed where no gradient is wanted.
public enum QuantizedProducts: String, Sendable {
    /// Weights are widened to float32: the product that the file's numbers define, to the rounding of float32.
    case exact
    /// Rows are rounded in blocks of 32 and multiplied in integers: several times faster. Of 8 bits, as llama.cpp has it by
    /// default, some thousandths are lost; a model may want 16 where that matters.
    case native
}

/// What native products keep of the rows that they multiply, in blocks of 32.
public enum RowPrecision: Int, Sendable {
    /// Integers of 8 bits: a value is off by at most 1/254 of its block's largest magnitude.
    case eightBits = 1
    /// A sum of two such parts, the second what the first left: at most 1/64516 off, for twice the multiply-adds. The
    /// weight is read from memory once.
    case sixteenBits = 2
}

/// A block-quantised weight `[out, in]` in the order in which native products read it.
///
/// Panels of 16 rows are made when the first native product asks for them, and kept: `byteCount` beside what the weight
/// itself takes, which for weights of a mapped file the system may drop from memory.
public final class PackedWeight: Sendable {
    let weight: Tensor
    private let storage = Mutex<TensorStorage?>(nil)

    /// The weight, packed later. Nil if it is not stored in blocks.
    public init?(_ weight: Tensor) {
        guard weight.elementType.isBlockQuantized, weight.rank == 2 else { return nil }
        self.weight = weight
    }

    private var panelCount: Int { (weight.shape[0] + panelColumns - 1) / panelColumns }
    private var panelBytes: Int { Int(vlm_quantized_panel_bytes(weight.kernelStorage, Int64(weight.shape[1]))) }
    fileprivate var panelColumns: Int { Int(vlm_quantized_panel_columns()) }

    /// Bytes of the panels: those of the weight, but for Q5 and Q6 a byte an element, and rows are rounded up to 16.
    public var byteCount: Int { panelCount * panelBytes }

    /// The panels, made now if they were not yet. Other threads that want them wait.
    fileprivate var panels: TensorStorage {
        storage.withLock { storage in
            if let storage { return storage }
            let made = TensorStorage(byteCount: byteCount, isHuge: true)
            let (rows, type, bytes) = (weight.shape[0], weight.kernelStorage, panelBytes)
            let rowBytes = weight.elementType.byteCount(of: weight.shape[1])
            ComputeContext.current.pool.run(panelCount) { panel in
                let first = panel * panelColumns
                vlm_quantized_pack(
                    type, Int64(min(panelColumns, rows - first)), Int64(weight.shape[1]),
                    weight.rawPointer + first * rowBytes,
                    (made.base + panel * bytes).assumingMemoryBound(to: UInt8.self))
            }
            storage = made
            return made
        }
    }
}

/// One map of several that are applied to the same rows: activation(x wᵀ + bias).
public struct NativeMap {
    let weight: PackedWeight
    let bias: Tensor?
    let activation: Activation

    /// The map with a weight `[out, in]` and a float32 bias `[out]`.
    public init(_ weight: PackedWeight, bias: Tensor? = nil, activation: Activation = .identity) {
        precondition(bias == nil || bias?.count == weight.weight.shape[0], "bias \(bias?.shape ?? [])")
        self.weight = weight
        self.bias = bias
        self.activation = activation
    }

    /// Whether the current context wants native products of `x`, and nobody wants their gradients.
    public func isWanted(for x: Tensor) -> Bool {
        ComputeContext.current.quantizedProducts == .native && !isTracking(x, bias)
    }
}

/// Native products of the same rows with several weights: rows are rounded once.
///
/// A row's bytes depend neither on the number of rows, nor on the threads, nor on the kernels.
/// - Parameters:
///   - x: float32 `[..., in]`, the same `in` for every map.
///   - precision: what is kept of the rows.
/// - Returns: float32 `[..., out]` for each map.
/// - Complexity: O(rows · in · out) multiply-adds of 8 bits a map.
public func nativeProducts(_ x: Tensor, _ maps: [NativeMap], precision: RowPrecision = .eightBits) -> [Tensor] {
    let context = ComputeContext.current
    let rows = QuantizedRows(x, precision, context)
    var results: [Tensor] = []
    var calls: [vlm_quantized_product] = []
    // What holds the panels that the calls point to.
    var panels: [TensorStorage] = []
    for map in maps {
        let weight = map.weight.weight
        precondition(weight.shape[1] == x.columns, "product of \(x.shape) with \(weight.shape)")
        context.operations?.add(multiplyAdds: x.rows * weight.count)
        let (result, c) = Tensor.uninitialized(shape: x.shape.dropLast() + [weight.shape[0]])
        let storage = map.weight.panels
        calls.append(
            vlm_quantized_product(
                rows: Int64(x.rows), columns: Int64(weight.shape[0]), depth: Int64(x.columns),
                parts: Int64(precision.rawValue), q: rows.integers, blocks: rows.blocks, w_type: weight.kernelStorage,
                panels: UnsafePointer(storage.base.assumingMemoryBound(to: UInt8.self)), c: c,
                ldc: Int64(weight.shape[0]), bias: map.bias?.floatPointer, activation: map.activation.kernel))
        results.append(result)
        panels.append(storage)
    }
    // Tasks of equal numbers of columns: several for each thread, so that one that is late holds up little.
    let columns = Int(vlm_quantized_panel_columns())
    let counts = calls.map { (Int($0.columns) + columns - 1) / columns }
    let perTask = max(1, counts.reduce(0, +) / (context.pool.threadCount * 6))
    let tasks = counts.indices.flatMap { index in
        stride(from: 0, to: counts[index], by: perTask).map { (call: index, first: $0 * columns) }
    }
    let kernels = context.kernels.table
    withExtendedLifetime((rows, panels)) {
        context.pool.run(tasks.count) { index in
            let (call, first) = tasks[index]
            withUnsafePointer(to: calls[call]) {
                let end = min(Int($0.pointee.columns), first + perTask * columns)
                vlm_quantized_columns(kernels, $0, Int64(first), Int64(end))
            }
        }
    }
    return results
}

/// Rows rounded to 8 bits, and after all of them what that left.
private final class QuantizedRows {
    let integers: UnsafeMutablePointer<Int8>
    let blocks: UnsafeMutablePointer<vlm_row_block>

    init(_ x: Tensor, _ precision: RowPrecision, _ context: ComputeContext) {
        let (depth, perRow, count) = (x.columns, x.columns / 32, x.rows)
        integers = .allocate(capacity: max(1, precision.rawValue * x.count))
        blocks = .allocate(capacity: max(1, precision.rawValue * count * perRow))
        let (kernels, floats, integers, blocks) = (context.kernels.table, x.floatPointer, integers, blocks)
        context.forEachRows(count, columns: depth) { rows in
            for row in rows {
                let (values, q, block) = (floats + row * depth, integers + row * depth, blocks + row * perRow)
                kernels.pointee.quantize_row(Int64(depth), values, q, block)
                if precision == .sixteenBits {
                    vlm_quantize_rest(
                        kernels, Int64(depth), values, q, block, q + count * depth, block + count * perRow)
                }
            }
        }
    }

    deinit {
        integers.deallocate()
        blocks.deallocate()
    }
}
