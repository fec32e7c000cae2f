public import Foundation

/// A program that was run to its end: what it printed, and how it ended.
public struct CommandRun: Sendable {
    /// What it wrote to standard output.
    public let output: Data
    /// What it wrote to standard error.
    public let errors: Data
    /// How it ended.
    public let ending: Ending

    /// How a program ends.
    public enum Ending: Equatable, Sendable {
        /// It left with an exit code.
        case status(Int32)
        /// A signal ended it: a crash, or the time limit.
        case signal(Int32)
        /// It was stopped because it took too long.
        case timeLimit
    }

    /// Standard output as text.
    public var stdout: String { String(decoding: output, as: UTF8.self) }
    /// Standard error as text.
    public var stderr: String { String(decoding: errors, as: UTF8.self) }
}

/// A built program, run as a process of its own.
public struct BuiltCommand: Sendable {
    /// Where the program lies.
    public let path: String

    /// The program of the given name beside the test bundle that is running: whatever the configuration and the scratch
    /// path, both are built into one directory.
    /// - Throws: if there is no such program.
    public init(_ name: String) throws {
        // The bundle is the program itself, or is given to the runner as an argument.
        let arguments = CommandLine.arguments + [Bundle.main.executablePath ?? ""]
        let directories = arguments.filter { $0.contains(".xctest") }
            .map { URL(filePath: $0).deletingLastPathComponent() }
        let candidates = directories.map { $0.appending(path: name).path }
        guard let found = candidates.first(where: FileManager.default.isExecutableFile) else {
            throw MissingCommand(name: name, candidates: candidates)
        }
        path = found
    }

    /// The program at a path.
    public init(path: String) { self.path = path }

    private struct MissingCommand: Error, CustomStringConvertible {
        var name: String
        var candidates: [String]
        var description: String { "no program \(name) beside the test bundle; looked for \(candidates)" }
    }

    /// Runs the program to its end.
    /// - Parameters:
    ///   - input: standard input; by default it is at its end at once.
    ///   - environment: variables to add to those of the tests; a nil value takes one away.
    ///   - timeLimit: after this many seconds the program is killed.
    public func run(
        _ arguments: [String], input: Data = Data(), environment: [String: String?] = [:], timeLimit: Double = 60
    ) throws -> CommandRun {
        let running = try start(arguments, environment: environment)
        running.write(input)
        running.closeInput()
        return running.finish(timeLimit: timeLimit)
    }

    /// Starts the program with an open standard input.
    public func start(_ arguments: [String], environment: [String: String?] = [:]) throws -> RunningCommand {
        try RunningCommand(path, arguments, environment)
    }
}

/// A program that is running, whose input is written and whose output is read bit by bit.
public final class RunningCommand {
    private let process = Process()
    private let input = Pipe()
    private let output = Collected()
    private let errors = Collected()

    fileprivate init(_ path: String, _ arguments: [String], _ environment: [String: String?]) throws {
        // A program that leaves early must not take the tests with it when they write to it.
        signal(SIGPIPE, SIG_IGN)
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        var variables = ProcessInfo.processInfo.environment
        variables["VLM_MODEL"] = nil
        for (name, value) in environment { variables[name] = value }
        process.environment = variables
        process.standardInput = input
        process.standardOutput = output.pipe
        process.standardError = errors.pipe
        try process.run()
        output.start()
        errors.start()
    }

    /// Number of the process.
    public var identifier: Int32 { process.processIdentifier }
    /// Whether it has not ended yet.
    public var isRunning: Bool { process.isRunning }
    /// What it has written to standard output so far.
    public var outputSoFar: Data { output.data }
    /// What it has written to standard error so far.
    public var errorsSoFar: String { String(decoding: errors.data, as: UTF8.self) }

    /// Writes to its standard input.
    public func write(_ data: Data) { try? input.fileHandleForWriting.write(contentsOf: data) }
    /// Writes lines to its standard input.
    public func write(_ lines: String...) { write(Data(lines.map { $0 + "\n" }.joined().utf8)) }
    /// Ends its standard input.
    public func closeInput() { try? input.fileHandleForWriting.close() }
    /// Sends it a signal.
    public func send(_ signal: Int32) { kill(identifier, signal) }

    /// Waits until a condition holds; false if it did not within the time limit.
    public func wait(_ timeLimit: Double = 20, until condition: (RunningCommand) -> Bool) -> Bool {
        let end = Date(timeIntervalSinceNow: timeLimit)
        while !condition(self) {
            if Date() > end { return false }
            Thread.sleep(forTimeInterval: 0.005)
        }
        return true
    }

    /// Waits for the program to end, or kills it after so many seconds, and gives what it left.
    public func finish(timeLimit: Double = 60) -> CommandRun {
        let isDone = wait(timeLimit) { !$0.isRunning }
        if !isDone { kill(identifier, SIGKILL) }
        process.waitUntilExit()
        closeInput()
        let (output, errors) = (output.finish(), errors.finish())
        let status = process.terminationStatus
        let ending: CommandRun.Ending =
            if !isDone { .timeLimit } else if process.terminationReason == .exit { .status(status) } else {
                .signal(status)
            }
        return CommandRun(output: output, errors: errors, ending: ending)
    }
}

/// The bytes of a pipe, read on a thread of their own so that the writer never waits.
///
/// Invariant that makes `@unchecked Sendable` true: `bytes` is only touched with the lock held.
private final class Collected: @unchecked Sendable {
    let pipe = Pipe()
    private let lock = NSLock()
    private let done = DispatchSemaphore(value: 0)
    private var bytes = Data()

    var data: Data { lock.withLock { bytes } }

    func start() {
        let handle = pipe.fileHandleForReading
        let thread = Thread { [self] in
            while true {
                let chunk = handle.availableData
                if chunk.isEmpty { break }
                lock.withLock { bytes.append(chunk) }
            }
            done.signal()
        }
        thread.start()
    }

    func finish() -> Data {
        done.wait()
        return data
    }
}
