/// Captions in pictures, in small capitals drawn from squares of pixels: a picture has no fonts to ask for.
enum PixelText {
    /// Pixels along a square.
    private static let scale = 2
    /// Pixels from one line of text to the next.
    static let lineHeight = 8 * scale

    /// The lines of a text that are no wider than `width` pixels where its words allow it.
    static func lines(_ text: String, width: Int) -> [String] {
        text.split(separator: " ").reduce(into: [String]()) { lines, word in
            if let last = lines.last, Self.width("\(last) \(word)") <= width {
                lines[lines.count - 1] = "\(last) \(word)"
            } else {
                lines.append(String(word))
            }
        }
    }

    /// The black pixels of a line whose upper left corner is at (0, 0).
    static func pixels(_ line: String) -> [(x: Int, y: Int)] {
        var (pixels, x) = ([(x: Int, y: Int)](), 0)
        for character in line {
            let rows = glyph(of: character)
            for (row, squares) in rows.enumerated() {
                for (column, square) in squares.enumerated() where square == "#" {
                    for part in 0..<scale * scale {
                        pixels.append((x + column * scale + part % scale, row * scale + part / scale))
                    }
                }
            }
            x += (rows[0].count + 1) * scale
        }
        return pixels
    }

    private static func width(_ line: String) -> Int {
        line.reduce(0) { $0 + (glyph(of: $1)[0].count + 1) * scale }
    }

    /// Five rows of squares; a frame for what the alphabet lacks.
    private static func glyph(of character: Character) -> [Substring] {
        let capital = character.uppercased().first ?? character
        return (alphabet[capital] ?? "#### #..# #..# #..# ####").split(separator: " ")
    }

    private static let alphabet: [Character: String] = [
        "A": ".#. #.# ### #.# #.#", "B": "##. #.# ##. #.# ##.", "C": ".## #.. #.. #.. .##",
        "D": "##. #.# #.# #.# ##.", "E": "### #.. ##. #.. ###", "F": "### #.. ##. #.. #..",
        "G": ".## #.. #.# #.# .##", "H": "#.# #.# ### #.# #.#", "I": "# # # # #",
        "J": "..# ..# ..# #.# .#.", "K": "#.# #.# ##. #.# #.#", "L": "#.. #.. #.. #.. ###",
        "M": "#...# ##.## #.#.# #...# #...#", "N": "#..# ##.# #.## #..# #..#", "O": ".#. #.# #.# #.# .#.",
        "P": "##. #.# ##. #.. #..", "Q": ".##. #..# #..# #.#. .#.#", "R": "##. #.# ##. #.# #.#",
        "S": ".## #.. .#. ..# ##.", "T": "### .#. .#. .#. .#.", "U": "#.# #.# #.# #.# ###",
        "V": "#.# #.# #.# #.# .#.", "W": "#...# #...# #.#.# ##.## #...#", "X": "#.# #.# .#. #.# #.#",
        "Y": "#.# #.# .#. .#. .#.", "Z": "### ..# .#. #.. ###",
        "0": "### #.# #.# #.# ###", "1": ".# ## .# .# .#", "2": "##. ..# .#. #.. ###", "3": "##. ..# .#. ..# ##.",
        "4": "#.# #.# ### ..# ..#", "5": "### #.. ##. ..# ##.", "6": ".## #.. ##. #.# .#.", "7": "### ..# .#. .#. .#.",
        "8": ".#. #.# .#. #.# .#.", "9": ".#. #.# .## ..# ##.",
        " ": ".. .. .. .. ..", ".": ". . . . #", ",": ".. .. .. .# #.", ":": ". # . # .", ";": ".. .# .. .# #.",
        "'": "# # . . .", "-": "... ... ### ... ...", "(": ".# #. #. #. .#", ")": "#. .# .# .# #.",
        "/": "..# ..# .#. #.. #..", "?": "##. ..# .#. ... .#.", "!": "# # # . #", "%": "#.# ..# .#. #.. #.#",
    ]
}
