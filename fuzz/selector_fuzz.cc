// A selector's text parses to the same selector again.
#include <cstdint>
#include <cstdlib>

#include "machinery/fields.h"
#include "machinery/labels.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto s = keles::Selector::parse(text); s.ok()) {
    auto again = keles::Selector::parse(s->to_string());
    if (!again.ok() || again->to_string() != s->to_string()) std::abort();
    (void)s->matches(keles::Value::map());
  }
  if (auto f = keles::FieldSelector::parse(text); f.ok()) {
    auto again = keles::FieldSelector::parse(f->to_string());
    if (!again.ok() || again->to_string() != f->to_string()) std::abort();
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"a=b,c!=d,e in (x,y),!f,g>1", "x notin (a,,b)", "a.b/c==d", "metadata.name=a\\,b"};
}
