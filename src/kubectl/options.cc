#include "kubectl/verbs.h"

namespace keles::kubectl {

// What every command takes: the flags that an Invocation has of itself.
Status options(Invocation& in) {
  TRY(in.parse());
  const std::string help = in.flags.help_text();
  const std::string title = "\nFlags:\n";
  const size_t at = help.find(title);
  print("The following options can be passed to any command:\n\n" +
        (at == help.npos ? help : help.substr(at + title.size())));
  return Status();
}

}  // namespace keles::kubectl
