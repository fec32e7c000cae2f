import Foundation
import Synchronization

/// The target of this process, chosen by the environment: FUZZ_TARGET=png.
private let chosen = Mutex<FuzzTarget?>(nil)

/// Chooses the target, or writes the seeds of all of them into the directory FUZZ_SEEDS and ends.
@_cdecl("vlm_fuzz_start") func start() {
    let environment = ProcessInfo.processInfo.environment
    if let directory = environment["FUZZ_SEEDS"] {
        do { try FuzzSeeds.write(to: URL(filePath: directory)) } catch {
            print("cannot write seeds to \(directory): \(error)")
            exit(1)
        }
        exit(0)
    }
    guard let target = environment["FUZZ_TARGET"].flatMap(FuzzTarget.init(rawValue:)) else {
        print("FUZZ_TARGET must be one of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
        exit(2)
    }
    chosen.withLock { $0 = target }
}

/// Reads one input; an error that is not one of the library's own ends the process, as a crash would.
@_cdecl("vlm_fuzz_input") func read(_ bytes: UnsafePointer<UInt8>?, _ count: Int) {
    guard let target = chosen.withLock({ $0 }) else { return }
    do {
        try target.read(Array(UnsafeBufferPointer(start: bytes, count: count)))
    } catch {
        precondition(FuzzTarget.isExpected(error), "\(type(of: error)): \(error)")
    }
}
