import ArgumentParser

/// `vlm completions`: what a shell needs to complete a command line.
struct CompletionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completions",
        abstract: "Print a script that lets a shell complete this tool's commands and options.",
        discussion: """
            EXAMPLES
              vlm completions bash > ~/.local/share/bash-completion/completions/vlm
              vlm completions zsh > ~/.zsh/_vlm                # in a directory of $fpath
              vlm completions fish > ~/.config/fish/completions/vlm.fish
            """)

    @Argument(help: "bash, zsh or fish.")
    var shell: Shell

    /// Shells that are known.
    enum Shell: String, ExpressibleByArgument, CaseIterable {
        case bash, zsh, fish
    }

    func run() throws {
        let shell: CompletionShell =
            switch shell {
            case .bash: .bash
            case .zsh: .zsh
            case .fish: .fish
            }
        print(VLMCommand.completionScript(for: shell))
    }
}
