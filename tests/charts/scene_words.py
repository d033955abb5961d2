"""Everything that a drawn chart says."""


def texts(node):
    found = [node.look["text"]] if node.kind == "text" else []
    return found + [words for child in node.children for words in texts(child)]
