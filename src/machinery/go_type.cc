#include "machinery/go_type.h"

namespace keles {

std::string_view go_type(const Value& v) {
  switch (v.kind()) {
    case Value::Kind::kBool:
      return "bool";
    case Value::Kind::kInt:
      return "int64";
    case Value::Kind::kDouble:
      return "float64";
    case Value::Kind::kString:
      return "string";
    case Value::Kind::kList:
      return "[]interface {}";
    case Value::Kind::kMap:
      return "map[string]interface {}";
    case Value::Kind::kNull:
      break;
  }
  return "<nil>";
}

}  // namespace keles
