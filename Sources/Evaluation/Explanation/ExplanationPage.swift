import Foundation
import NeuralNetwork
import VisionEncoder

/// An explanation as a page that needs nothing else: one slides through the tokens of the answer and through layers.
public struct ExplanationPage {
    private let explanation: Explanation
    private let picture: String

    /// A page about an explanation.
    /// - Throws: `ImageError` if the picture cannot be written.
    public init(_ explanation: Explanation) throws {
        self.explanation = explanation
        picture = try Data(explanation.picture.pngBytes()).base64EncodedString()
    }

    /// The page.
    public var text: String {
        let answer = explanation.tokens.map(\.text).joined().trimmingCharacters(in: .whitespacesAndNewlines)
        return HTMLPage.text(
            title: explanation.question, style: Self.style,
            body: """
                <h1>\(explanation.question.escaped)</h1>
                <p class="answer">\(answer.escaped)</p>
                <div class="views">
                <figure><img src="data:image/png;base64,\(picture)" alt="the picture as the model sees it">
                <figcaption>The picture as the model sees it: \(explanation.grid.width) × \(explanation.grid.height) patches,
                \(explanation.visualTokens) visual tokens.</figcaption></figure>
                \(figure("tokens", "token", count: explanation.tokens.count, tokenCaption))
                \(explanation.layers.isEmpty ? "" : figure("layers", "layer", count: explanation.layers.count, layerCaption))
                </div>
                <p class="fine">\((explanation.layers.isEmpty ? "Every layer of this decoder reads all visual tokens. " : "").escaped)\
                \(connectionNote.escaped)</p>
                """, script: script)
    }

    private static let style = """
        body { margin: 0; background: var(--back); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
        main { max-width: 1160px; margin: 0 auto; padding: 16px; }
        h1 { font-size: 1.4em; margin: 0.3em 0 0; overflow-wrap: anywhere; }
        .answer { font-size: 1.2em; margin: 0.2em 0 1em; overflow-wrap: anywhere; }
        .views { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(300px, 100%), 1fr)); gap: 20px; }
        figure { margin: 0; } figure img, figure canvas { width: 100%; display: block; image-rendering: pixelated; }
        figcaption, .fine { font-size: 0.9em; } input { width: 100%; margin: 8px 0 4px; } output { font-weight: 600; }
        """

    private func figure(_ id: String, _ what: String, count: Int, _ caption: String) -> String {
        """
        <figure><canvas id="\(id)" role="img" aria-label="\(caption.escaped)"></canvas>
        <input type="range" id="\(id)-slider" min="0" max="\(id == "tokens" ? count : count - 1)" value="0" aria-label="\(what)">
        <figcaption><output id="\(id)-label"></output><br>\(caption.escaped)</figcaption></figure>
        """
    }

    private let tokenCaption =
        "Brighter patches weigh more: the length of the gradient of the token's log-probability with respect to what the "
        + "vision tower saw there, relative to the largest."
    private let layerCaption =
        "How much of each patch is in the visual tokens that the layer processes; the others skip it."

    private var connectionNote: String {
        switch explanation.connection {
        case .positions:
            "The query transformer attends to positions: its attention weights are the same for every picture, so they say "
                + "nothing about this one, and are only used to carry tokens back to patches."
        case .features: "The query transformer's attention weights carry tokens back to patches."
        case .patches: "Every visual token is one patch."
        }
    }

    /// The maps, and how they are drawn over the picture.
    private var script: String {
        func map(_ values: [Float]) -> String {
            "[" + values.map { String(format: "%.3f", min(max($0, 0), 1)) }.joined(separator: ",") + "]"
        }
        let whole = (label: "the whole answer", map: map(explanation.relevance.scaledToOne))
        let tokens = explanation.tokens.map { token in
            let text = token.text.debugDescription
            return (
                label: "\(text), probability \(String(format: "%.3f", exp(token.logProbability)))",
                map: map(token.relevance.scaledToOne)
            )
        }
        let layers = explanation.layers.map {
            (
                label: "layer \($0.index + 1): \($0.kept) of \(explanation.visualTokens) visual tokens",
                map: map($0.share)
            )
        }
        func list(_ entries: [(label: String, map: String)]) -> String {
            "[" + entries.map { "{label: \($0.label.scriptLiteral), map: \($0.map)}" }.joined(separator: ",\n") + "]"
        }
        return """
            const grid = {width: \(explanation.grid.width), height: \(explanation.grid.height)};
            const maps = {tokens: \(list([whole] + tokens)),
            layers: \(list(layers))};
            const picture = document.querySelector('img');
            function draw(id) {
              const canvas = document.getElementById(id);
              if (!canvas) return;
              const entry = maps[id][document.getElementById(id + '-slider').value];
              canvas.width = picture.naturalWidth; canvas.height = picture.naturalHeight;
              const pen = canvas.getContext('2d');
              pen.drawImage(picture, 0, 0);
              for (let y = 0; y < grid.height; y++) for (let x = 0; x < grid.width; x++) {
                const [left, top] = [Math.round(x * canvas.width / grid.width), Math.round(y * canvas.height / grid.height)];
                const [right, bottom] = [Math.round((x + 1) * canvas.width / grid.width),
                  Math.round((y + 1) * canvas.height / grid.height)];
                pen.fillStyle = 'rgba(0, 0, 0, ' + 0.85 * (1 - entry.map[y * grid.width + x]) + ')';
                pen.fillRect(left, top, right - left, bottom - top);
              }
              document.getElementById(id + '-label').textContent = entry.label;
            }
            for (const id of ['tokens', 'layers'])
              document.getElementById(id + '-slider')?.addEventListener('input', () => draw(id));
            picture.decode().then(() => { draw('tokens'); draw('layers'); });
            """
    }
}

extension String {
    /// The text as a literal of a script that stands in HTML: nothing in it ends the script.
    fileprivate var scriptLiteral: String {
        let units = utf16.map { unit -> String in
            let isPlain = (0x20...0x7E).contains(unit) && ![0x22, 0x26, 0x27, 0x3C, 0x3E, 0x5C, 0x60].contains(unit)
            return isPlain ? String(UnicodeScalar(UInt8(unit))) : String(format: "\\u%04x", Int(unit))
        }
        return "\"" + units.joined() + "\""
    }
}
