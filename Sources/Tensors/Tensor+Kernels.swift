package import CKernels

// How operations hand tensors to C. A tensor passed to a function lives until the function returns, so the pointers
// below are good for the length of the operation that takes them.

extension Tensor {
    /// The first element of a float32 tensor.
    package var floatPointer: UnsafePointer<Float> {
        precondition(elementType == .float32, "float32 elements wanted, tensor holds \(elementType.rawValue)")
        return UnsafeRawPointer(storage.base + byteOffset).assumingMemoryBound(to: Float.self)
    }

    /// The first byte.
    package var rawPointer: UnsafeRawPointer { UnsafeRawPointer(storage.base + byteOffset) }

    /// The element type as kernels name it; only plain types that weights are stored in have one.
    package var kernelElement: vlm_element {
        precondition(!elementType.isBlockQuantized, "\(elementType.rawValue) cannot be used here")
        return kernelStorage
    }

    /// The element type as kernels that read blocks too name it.
    package var kernelStorage: vlm_element { elementType.kernelStorage }
    /// A new float32 tensor with undefined elements and the pointer to write them through before anyone else sees it.
    package static func uninitialized(shape: [Int]) -> (Tensor, UnsafeMutablePointer<Float>) {
        let count = shape.reduce(1, *)
        let storage = TensorStorage(byteCount: count * 4)
        let elements = storage.base.bindMemory(to: Float.self, capacity: max(count, 1))
        return (Tensor(shape: shape, elementType: .float32, storage: storage, byteOffset: 0), elements)
    }
}

extension ElementType {
    /// The type as kernels name it that read what weights are stored in.
    package var kernelStorage: vlm_element {
        switch self {
        case .float32: VLM_F32
        case .bfloat16: VLM_BF16
        case .float16: VLM_F16
        case .int8: VLM_I8
        case .q8_0: VLM_Q8_0
        case .q4_0: VLM_Q4_0
        case .q4_1: VLM_Q4_1
        case .q5_0: VLM_Q5_0
        case .q5_1: VLM_Q5_1
        case .q4_K: VLM_Q4_K
        case .q5_K: VLM_Q5_K
        case .q6_K: VLM_Q6_K
        default: preconditionFailure("a weight cannot hold \(rawValue)")
        }
    }
}

extension ComputeContext {
    /// The kernel table.
    package var table: vlm_kernels { kernels.table.pointee }

    /// Calls `body` with ranges of rows that cover `0..<rows`, in parallel where there is enough work.
    package func forEachRows(_ rows: Int, columns: Int, _ body: (Range<Int>) -> Void) {
        let perTask = max(1, 16_384 / max(columns, 1))
        let tasks = (rows + perTask - 1) / perTask
        pool.run(tasks) { task in body(task * perTask..<min(rows, (task + 1) * perTask)) }
    }
}

/// Memory that one task of a kernel works in.
package struct Scratch: ~Copyable {
    package let floats: UnsafeMutablePointer<Float>

    /// Room for `count` floats, contents undefined.
    package init(_ count: Int) {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
        floats = raw.bindMemory(to: Float.self, capacity: max(count, 1))
    }

    deinit { UnsafeMutableRawPointer(floats).deallocate() }
}
