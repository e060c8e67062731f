#include "net/host/nftables.h"

#include <nftables/libnftables.h>

#include <memory>

namespace keles {

Status apply_nftables(const std::string& text) {
  std::unique_ptr<nft_ctx, void (*)(nft_ctx*)> nft(nft_ctx_new(NFT_CTX_DEFAULT), nft_ctx_free);
  if (!nft) return Status::internal("nftables: out of memory");
  nft_ctx_buffer_error(nft.get());
  nft_ctx_buffer_output(nft.get());
  if (nft_run_cmd_from_buffer(nft.get(), text.c_str()) == 0) return Status();
  std::string why = nft_ctx_get_error_buffer(nft.get());
  if (why.size() > 2000) why.resize(2000);
  return Status::internal("nftables: " + why);
}

std::string nftables_without_table(const std::string& name, const std::string& family) {
  // Adding first makes the deletion succeed when there is none.
  const std::string table = " table " + family + " " + name + "\n";
  return "add" + table + "delete" + table;
}

}  // namespace keles
