// keles convert: an object from one encoding to another. It shows the codecs at work and knows
// nothing of a cluster.
#include "machinery/convert.h"

#include <cstdio>
#include <iostream>
#include <iterator>

#include "base/file.h"

namespace keles {

namespace {

constexpr char kUsage[] =
    "Usage: keles convert -f FILE|- -o json|yaml|protobuf\n"
    "\n"
    "Reads one object (JSON, YAML or protobuf, recognised by itself) and writes it in another "
    "form.\n";

int fail(const std::string& what) {
  std::cerr << "keles convert: " << what << '\n';
  return 1;
}

}  // namespace

int convert_main(int argc, char** argv) {
  std::string file, output = "yaml";
  for (int i = 1; i < argc; ++i) {
    std::string arg = argv[i];
    auto value = [&](std::string_view flag, std::string_view longer) -> const char* {
      if (arg == flag || arg == longer) return i + 1 < argc ? argv[++i] : "";
      if (arg.starts_with(longer) && arg.size() > longer.size() && arg[longer.size()] == '=') {
        return argv[i] + longer.size() + 1;
      }
      if (arg.starts_with(flag) && !arg.starts_with("--") && arg.size() > 2) return argv[i] + 2;
      return nullptr;
    };
    if (arg == "-h" || arg == "--help") {
      std::cout << kUsage;
      return 0;
    }
    if (const char* f = value("-f", "--filename")) {
      file = f;
    } else if (const char* o = value("-o", "--output")) {
      output = o;
    } else {
      return fail("unknown argument " + arg + "\n" + kUsage);
    }
  }
  if (file.empty()) return fail(std::string("-f is required\n") + kUsage);
  std::string input;
  if (file == "-") {
    input.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    auto read = read_file(file);
    if (!read.ok()) return fail(read.status().message());
    input = std::move(*read);
  }
  auto form = output_form(output);
  if (!form.ok()) return fail(form.status().message());
  auto made = convert(input, *form);
  if (!made.ok()) return fail(made.status().message());
  std::fwrite(made->data(), 1, made->size(), stdout);
  return std::fflush(stdout) == 0 ? 0 : fail("cannot write");
}

}  // namespace keles
