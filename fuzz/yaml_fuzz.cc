// What parses is written, and what is written parses to the same.
#include <cstdint>
#include <cstdlib>

#include "machinery/codec_yaml.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto all = keles::parse_yaml_all(text);
  if (!all.ok()) return 0;
  for (const keles::Document& d : *all) {
    auto again = keles::parse_yaml(keles::write_yaml(d.root));
    if (!again.ok() || !again->root.equals(d.root)) std::abort();
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"a: 1\nb: [x, {y: z}]\n", "- &a {k: v}\n- *a\n- <<: *a\n  j: 0x1f\n",
          "---\nx: |\n  l1\n  l2\n---\ny: >-\n  f\n  g\n",
          "{\"a\": [1.5, null, true, \"\\u0041\"]}",
          "on: off\n1_000: 0777\nt: 2024-01-01T00:00:00Z\n"};
}
