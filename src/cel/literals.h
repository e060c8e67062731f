// Numbers and strings as CEL writes them.
#pragma once

#include <string_view>

#include "base/status.h"
#include "cel/ast.h"
#include "cel/lexer.h"

namespace keles::cel {

// `text` is the token's, a minus before it for a negative number. The error's message is what a
// compile error shows.
Result<Literal> read_literal(Token token, std::string_view text);

}  // namespace keles::cel
