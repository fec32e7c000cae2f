import Tensors

extension Array {
    /// What `transform` makes of every element, in order, computed on the threads of the current context. Inside it no
    /// tensors are computed with: the context is that of the caller's thread.
    /// - Throws: the error of the first element that has one.
    func mappedConcurrently<Result>(_ transform: (Element) throws -> Result) throws -> [Result] {
        var results = [Swift.Result<Result, any Error>?](repeating: nil, count: count)
        results.withUnsafeMutableBufferPointer { results in
            // Every element of the buffer is written by one thread, and read when all have ended.
            nonisolated(unsafe) let results = results
            ComputeContext.current.pool.run(count) { index in
                results[index] = Swift.Result { try transform(self[index]) }
            }
        }
        return try results.compactMap { try $0?.get() }
    }
}
