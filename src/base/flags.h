// Command-line flags in the manner of pflag, which Kubernetes' programs use: --name=value, --name
// value, -n value, --switch, --switch=false, -it; flags and arguments in any order; "--" ends the
// flags. A flag may be given more than once (lists add up). Errors are worded as pflag's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/status.h"

namespace keles {

class Flags {
 public:
  explicit Flags(std::string usage) : usage_(std::move(usage)) {}

  // `shorthand` 0: none. The variable holds the default; it outlives parse().
  void add(std::string name, std::string* out, std::string help, char shorthand = 0);
  void add(std::string name, int64_t* out, std::string help, char shorthand = 0);
  void add(std::string name, bool* out, std::string help, char shorthand = 0);
  // Commas separate. add_array: they do not (pflag's StringArray).
  void add(std::string name, std::vector<std::string>* out, std::string help, char shorthand = 0);
  void add_array(std::string name, std::vector<std::string>* out, std::string help,
                 char shorthand = 0);
  // What the flag means when it is written without "=value" (pflag's NoOptDefVal); the next
  // argument is then never its value.
  void set_bare_value(std::string_view name, std::string value);
  void add(std::string name, Duration* out, std::string help,
           char shorthand = 0);  // "30s", "1m30s"

  // parse() fails without this flag (cobra's MarkFlagRequired); the help says so.
  void require(std::string_view name);

  // The arguments that are not flags. kBadRequest: `unknown flag: --x`, `invalid argument "y" for
  // ...`.
  // --help and -h set help_wanted().
  Result<std::vector<std::string>> parse(const std::vector<std::string>& args);
  bool help_wanted() const { return help_; }
  // How many of parse()'s arguments stood before "--"; -1 when there was none.
  int arguments_before_dash() const { return dash_; }
  bool given(std::string_view name) const;
  std::string help_text() const;

 private:
  struct Flag {
    std::string name, help, default_text, type;
    char shorthand;
    bool is_switch;
    std::string bare_value;  // "": the flag needs a value
    bool given = false;
    std::function<bool(std::string_view)> set;
    bool required = false;
  };
  Flag* find(std::string_view name);
  Flag* find_shorthand(char c);
  Status take_long(const std::vector<std::string>& args, size_t* at);
  Status take_short(const std::vector<std::string>& args, size_t* at);
  Status set(Flag& f, std::string_view value, std::string_view as_written);
  void add_flag(Flag f);
  std::string usage_;
  std::vector<Flag> flags_;
  bool help_ = false;
  int dash_ = -1;
};

}  // namespace keles
