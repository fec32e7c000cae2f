import Bytes
import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

extension Tag {
    @Tag static var slow: Self
}

/// Runs the built `vlm`.
func vlm(
    _ arguments: String..., input: Data = Data(), environment: [String: String?] = [:], timeLimit: Double = 60
) throws -> CommandRun {
    try BuiltCommand("vlm").run(arguments, input: input, environment: environment, timeLimit: timeLimit)
}

/// Runs `vlm ask` on a model, by default the one that ships.
func ask(_ arguments: String..., model: String = TinyModel.path, input: Data = Data()) throws -> CommandRun {
    try BuiltCommand("vlm").run(["ask", "--model", model] + arguments, input: input)
}

/// The JSON object that `vlm ask --json` prints.
func answer(_ arguments: String..., model: String = TinyModel.path, input: Data = Data()) throws -> JSONValue {
    let run = try BuiltCommand("vlm").run(["ask", "--model", model, "--json"] + arguments, input: input)
    try #require(run.ending == .status(0), "\(run.stderr)")
    let file = try Fixtures.temporaryDirectory().appending(path: "answer.json")
    try run.output.write(to: file)
    return try JSONValue(contentsOf: file.path)
}

/// Runs `vlm trace` and reads what it wrote.
func trace(_ arguments: [String], model: String = TinyModel.path) throws -> [String: Tensor] {
    let out = try Fixtures.temporaryDirectory().appending(path: "trace.safetensors").path
    let run = try BuiltCommand("vlm").run(["trace", "--model", model, "--out", out] + arguments)
    try #require(run.ending == .status(0), "\(run.stderr)")
    return try SafetensorsFile(path: out).tensors
}

/// Expects a program to have refused: the exit code, nothing on standard output, and the words on standard error.
func expectRefusal(
    _ run: CommandRun, _ status: Int32, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(run.ending == .status(status), "\(run.stderr)", sourceLocation: sourceLocation)
    #expect(run.stdout == "", sourceLocation: sourceLocation)
    for word in words {
        #expect(run.stderr.contains(word), "\(word) is not in: \(run.stderr)", sourceLocation: sourceLocation)
    }
}
