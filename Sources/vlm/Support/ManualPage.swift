import Bytes
import Foundation
import ModelFiles

/// A manual page in roff with the macros of `man`, made from what the argument parser knows of the commands.
///
/// Source: man-pages(7) and groff_man(7).
struct ManualPage {
    private let root: JSONValue

    /// Reads the description of a command and its subcommands in JSON.
    /// - Throws: `CheckpointError.invalidJSON`.
    init(_ description: String) throws {
        root =
            try JSONValue(parsing: Array(description.utf8), source: "the description of the commands")["command"]
            ?? .null
    }

    /// The page.
    var roff: String {
        let name = root["commandName"]?.string ?? ""
        var lines = [
            ".TH \(name.uppercased()) 1", ".SH NAME", "\(name) \\- \(Self.text(root["abstract"]?.string ?? ""))",
            ".SH SYNOPSIS", ".B \(name)", ".I subcommand", "[\\fIoptions\\fR]", ".SH DESCRIPTION",
        ]
        lines += Self.paragraphs(root["discussion"]?.string ?? "") + [".SH COMMANDS"]
        for command in root["subcommands"]?.array ?? [] { lines += Self.section(command, under: [name]) }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A command, and the commands under it.
    private static func section(_ command: JSONValue, under names: [String]) -> [String] {
        guard command["shouldDisplay"]?.bool != false, let name = command["commandName"]?.string, name != "help" else {
            return []
        }
        let path = names + [name]
        let arguments = (command["arguments"]?.array ?? []).filter { $0["shouldDisplay"]?.bool != false }
        let positional = arguments.filter { $0["kind"]?.string == "positional" }.map { argument in
            let value = "\\fI\(text(argument["valueName"]?.string ?? ""))\\fR"
            let list = argument["isRepeating"]?.bool == true ? value + " ..." : value
            return argument["isOptional"]?.bool == true ? "[\(list)]" : list
        }
        var lines = [
            ".SS \(text(path.joined(separator: " ")))",
            (["\\fB\(text(path.joined(separator: " ")))\\fR", "[\\fIoptions\\fR]"] + positional).joined(separator: " "),
            ".PP",
        ]
        lines += paragraphs(command["abstract"]?.string ?? "") + paragraphs(command["discussion"]?.string ?? "")
        for argument in arguments { lines += description(argument) }
        for sub in command["subcommands"]?.array ?? [] { lines += section(sub, under: path) }
        return lines
    }

    /// An argument with what it does.
    private static func description(_ argument: JSONValue) -> [String] {
        let names = (argument["names"]?.array ?? []).compactMap { name in
            name["name"]?.string.map { (name["kind"]?.string == "long" ? "--" : "-") + $0 }
        }.filter { $0 != "-h" && $0 != "--help" }
        let value = "\\fI\(text(argument["valueName"]?.string ?? ""))\\fR"
        let isPositional = argument["kind"]?.string == "positional"
        if names.isEmpty, !isPositional { return [] }
        let title = isPositional ? value : names.map { "\\fB\(text($0))\\fR" }.joined(separator: ", ")
        let words = [argument["abstract"]?.string, argument["discussion"]?.string].compactMap { $0 }
        return [".TP", argument["kind"]?.string == "option" ? "\(title) \(value)" : title]
            + [text(words.joined(separator: " ").split(whereSeparator: \.isNewline).joined(separator: " "))]
    }

    /// Paragraphs of prose; what follows a line in capitals, and what is indented, stands as it is.
    private static func paragraphs(_ discussion: String) -> [String] {
        var lines: [String] = []
        for block in discussion.split(separator: "\n\n") {
            let rows = block.split(separator: "\n").map(String.init)
            let isHeading = rows.first.map { $0 == $0.uppercased() } ?? false
            if isHeading { lines += [".PP", "\\fB\(text(rows[0].capitalized))\\fR"] }
            let body = isHeading ? Array(rows.dropFirst()) : rows
            if body.allSatisfy({ $0.hasPrefix(" ") }) {
                lines += [".PP", ".RS 4", ".nf"] + body.map { text($0.drop { $0 == " " }) } + [".fi", ".RE"]
            } else {
                lines += [".PP"] + body.map { text($0) }
            }
        }
        return lines
    }

    /// Text in which nothing is a command: hyphens are those of options, and lines do not begin with a dot or a quote.
    private static func text(_ text: some StringProtocol) -> String {
        let escaped = text.replacingOccurrences(of: "\\", with: "\\e").replacingOccurrences(of: "-", with: "\\-")
        return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
    }
}
