import Foundation
import TestSupport
import Testing

@testable import Tensors

@Suite struct OperationCounterTests {
    /// What some computation came to.
    private func counted(_ products: QuantizedProducts = .exact, _ body: () -> Void) -> Work {
        var context = ComputeContext(threads: 2)
        let counter = OperationCounter()
        context.operations = counter
        context.quantizedProducts = products
        context.run(body)
        return counter.work
    }

    @Test("a product reads its weight once in the type it is stored in, and counts by what computes it")
    func products() throws {
        // One block of nine stands out.
        let x = Tensor((0..<3 * 96).map { $0 / 32 == 4 ? 40 : 1 }, shape: [3, 96])
        let weight = Tensor(repeating: 0.5, shape: [16, 96])
        let blocks = try weight.converted(to: .q8_0)
        let exact = counted { _ = product(x, blocks) }
        #expect(exact.float32Operations == 2 * 3 * 16 * 96 && exact.int8Operations == 0)
        #expect(exact.bytesRead == 16 * 96 / 32 * 34)
        let packed = try #require(NativeWeight(blocks))
        for (precision, blocks) in [(RowPrecision.eightBits, 9), (.fineOutliers, 10)] {
            let native = counted(.native) { _ = nativeProducts(x, [NativeMap(packed)], precision: precision) }
            #expect(native.int8Operations == 2 * blocks * 32 * 16 && native.float32Operations == 0)
            #expect(native.bytesRead == packed.byteCount)
        }
    }

    @Test("attention reads the keys and values of every head once")
    func attentions() {
        let (q, k) = (Tensor(repeating: 1, shape: [2, 32]), Tensor(repeating: 1, shape: [7, 16]))
        let work = counted {
            _ = attention(queries: q, keys: k, values: k, heads: 4, keyValueHeads: 2, mask: .full)
        }
        #expect(work.bytesRead == 2 * 7 * 16 * 4 && work.float32Operations == 4 * 2 * 7 * 32)
        // Which sets round is the processor's affair; the operations are the same. Few queries never do.
        for (queries, mayRound) in [(2, true), (40, true), (40, false)] {
            let q = Tensor(repeating: 1, shape: [queries, 32])
            let work = counted {
                _ = attention(
                    queries: q, keys: k, values: k, heads: 4, keyValueHeads: 2, mask: .full, mayRound: mayRound)
            }
            #expect(work.operations == 4 * queries * 7 * 32)
            if queries == 2 || !mayRound { #expect(work.int16Operations == 0) }
        }
    }

    @Test("memory counts when it comes from the allocator, not when a pool hands it out again")
    func memory() {
        let size = [64, 1024]
        let once = counted { _ = Tensor(repeating: 1, shape: size) }
        #expect(once.allocatedBlocks == 1 && once.allocatedBytes == 64 * 1024 * 4)
        let again = counted {
            ComputeContext.reusingMemory(of: MemoryPool(smallestBlock: 0)) {
                for _ in 0..<5 { for size in [size, [3]] { _ = Tensor(repeating: 1, shape: size) } }
            }
        }
        #expect(again.allocatedBlocks == 2)
        let buffer = counted { _ = RowBuffer(columns: 8, capacity: 4) }
        #expect(buffer.allocatedBlocks == 1 && buffer.allocatedBytes == 8 * 4 * 4)
    }

    @Test("a pool keeps blocks of every size apart and knows their bytes")
    func sizes() {
        let pool = MemoryPool(smallestBlock: 0)
        let counts = [
            1, 4096, 4097, 8192, 12_000, 20_000, 33_000, 65_536, 65_537, 100_000, 1 << 20, (1 << 20) + 1, 3 << 20,
        ]
        let work = counted {
            ComputeContext.reusingMemory(of: pool) {
                for _ in 0..<3 {
                    // All live at once, so that none takes another's block.
                    let storages = counts.map { TensorStorage(byteCount: $0) }
                    #expect(Set(storages.map(\.base)).count == counts.count)
                    for storage in storages { memset(storage.base, 1, storage.byteCount) }
                }
            }
        }
        #expect(work.allocatedBlocks == counts.count)
        #expect(pool.freeBytes == work.allocatedBytes)
        #expect(pool.freeBytes == counts.reduce(0) { $0 + MemoryPool.blockSize(for: $1) })
    }

    @Test(
        "times at a machine's rates take integers of 16 bits at twice the rate of float32, those of 8 bits at four times"
    )
    func times() {
        var work = Work()
        (work.float32Operations, work.int16Operations, work.int8Operations) = (100, 60, 400)
        work.bytesRead = 50
        let rates = MachineRates(flops: 10, bytes: 25)
        #expect(work.operations == 560 && work.computingSeconds(at: rates) == 23 && work.readingSeconds(at: rates) == 2)
    }
}
