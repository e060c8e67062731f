// Texts of several certificates: bundles of CAs, of which the first signs while the others are
// believed beside it. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace keles::net {

// Each certificate of the text in PEM, in its order, and each once; what is none is skipped. At
// most a hundred are read.
std::vector<std::string> certificates_in(std::string_view pem);
std::string first_certificate(std::string_view pem);  // "": there is none
bool share_certificate(std::string_view a, std::string_view b);

// Whether the first certificate of the text was signed by the first of the other.
bool is_issued_by(std::string_view certificate_pem, std::string_view ca_pem);
// Of a bundle whose first certificate signs: whether another of it, but not the first, has signed
// this one, which is to be issued anew then.
bool is_of_former_ca(std::string_view certificate_pem, std::string_view bundle_pem);

}  // namespace keles::net
