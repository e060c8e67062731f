// TOML that is read is written as the same again, and merged into itself stays what it is.
#include <cstdint>
#include <cstdlib>

#include "kind/toml.h"
#include "seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto t = keles::kind::Toml::parse(text);
  if (!t.ok()) return 0;
  const std::string written = t->text();
  auto again = keles::kind::Toml::parse(written);
  if (!again.ok() || again->text() != written) std::abort();
  again->merge(*t);
  if (again->text() != written) std::abort();
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"version = 2\n[plugins.\"a.b\".'c']\n  x = [\"1\", # 2\n 3]\n",
          "a.b.c = {d = 1, e = \"}\"} # f\r\n[a.b]\ng = '''\n'''\nh = \"\"\"\\\"\"\"\"\n", "[[a]]",
          "[a]\nb = 1\n[a.b]\nc = 2\n"};
}
