import ArgumentParser
import Foundation

/// `vlm manual`: the page that `man vlm` shows.
struct ManualCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "manual",
        abstract: "Print the manual page, in the language of man.",
        discussion: """
            The page is made from what --help says, so both always agree.

            EXAMPLES
              vlm manual | man -l -
              vlm manual > ~/.local/share/man/man1/vlm.1
            """)

    func run() throws { print(try ManualPage(VLMCommand._dumpHelp()).roff, terminator: "") }
}
