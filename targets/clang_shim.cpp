/* The only C++ of attune: the Clang frontend in process and LLVM's JIT linker, with the API of LLVM 19.
 * Assumes that what it is handed is header-free C, so no resource directory is needed. */
#include "targets/clang_shim.h"

#include <clang/Basic/Diagnostic.h>
#include <clang/Basic/Version.h>
#include <clang/CodeGen/CodeGenAction.h>
#include <clang/Frontend/CompilerInstance.h>
#include <clang/Frontend/CompilerInvocation.h>
#include <clang/Frontend/TextDiagnosticPrinter.h>
#include <clang/Lex/PreprocessorOptions.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/ExecutionEngine/Orc/ObjectFileInterface.h>
#include <llvm/Support/CrashRecoveryContext.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

using namespace llvm;

namespace
{

struct jit {
	std::unique_ptr<orc::LLJIT> lljit;
	orc::JITDylib *names;
	std::atomic<unsigned long> count{0};
};

struct loaded {
	orc::JITDylib *dylib;
	std::map<std::string, void *, std::less<>> symbols;
};

/* One for the process, made by attune_clang_shim and never destroyed: loaded code may run until the end. */
jit *process_jit;

/* Linking runs in the calling thread, and so does what reports its errors. */
thread_local std::string reported;

char *copy_text(StringRef s)
{
	char *p = static_cast<char *>(malloc(s.size() + 1));
	if (p) {
		memcpy(p, s.data(), s.size());
		p[s.size()] = 0;
	}
	return p;
}

[[noreturn]] void fatal(void *, const char *message, bool)
{
	reported += message;
	if (auto *context = CrashRecoveryContext::GetCurrent())
		context->HandleExit(1);
	abort();
}

/* LLVM catches its own crashes by signal handlers. They are the host's again when nothing compiles. */
class recovery
{
	static std::mutex mutex;
	static unsigned users;

      public:
	recovery()
	{
		std::lock_guard<std::mutex> lock(mutex);
		if (!users++) {
			CrashRecoveryContext::Enable();
			install_fatal_error_handler(fatal);
		}
	}
	~recovery()
	{
		std::lock_guard<std::mutex> lock(mutex);
		if (!--users) {
			remove_fatal_error_handler();
			CrashRecoveryContext::Disable();
		}
	}
};
std::mutex recovery::mutex;
unsigned recovery::users;

/* All of one run. It lives outside the frame that a crash unwinds without destructors, because LLVM then
 * cleans up what refers to it; members are destroyed in reverse, so messages can be written until the end. */
struct frontend {
	SmallVector<char, 0> object;
	std::string messages;
	raw_string_ostream stream{messages};
	std::unique_ptr<MemoryBuffer> source;
	clang::EmitObjAction action;
	clang::CompilerInstance instance;

	clang::TextDiagnosticPrinter *printer(clang::DiagnosticOptions &options)
	{
		return new clang::TextDiagnosticPrinter(stream, &options);
	}

	bool run(const char *text, ArrayRef<const char *> arguments)
	{
		auto invocation = std::make_shared<clang::CompilerInvocation>();
		auto options = makeIntrusiveRefCnt<clang::DiagnosticOptions>();
		clang::DiagnosticsEngine engine(new clang::DiagnosticIDs, options, printer(*options));
		if (!clang::CompilerInvocation::CreateFromArgs(*invocation, arguments, engine))
			return false;
		/* Both default to leaving memory to the end of the process. */
		invocation->getFrontendOpts().DisableFree = false;
		invocation->getCodeGenOpts().DisableFree = false;
		source = MemoryBuffer::getMemBuffer(text, "kernel.c");
		invocation->getPreprocessorOpts().addRemappedFile("kernel.c", source.get());
		invocation->getPreprocessorOpts().RetainRemappedFileBuffers = true;
		instance.setInvocation(invocation);
		instance.createDiagnostics(printer(invocation->getDiagnosticOpts()), true);
		instance.setVerboseOutputStream(
		        std::make_unique<raw_null_ostream>()); /* "1 error generated." */
		instance.setOutputStream(std::make_unique<raw_svector_ostream>(object));
		return instance.ExecuteAction(action);
	}
};

/* Beside this processor's, which is known from the start: code for another is rarely asked for. */
void know_all_targets()
{
	static std::once_flag once;
	std::call_once(once, [] {
		InitializeAllTargetInfos();
		InitializeAllTargets();
		InitializeAllTargetMCs();
		InitializeAllAsmPrinters();
		InitializeAllAsmParsers();
	});
}

int compile(const char *text, const char *const *arguments, int n, void **bytes, size_t *size,
            char **diagnostics)
{
	std::vector<const char *> all(arguments, arguments + n);
	for (const char *argument : all)
		if (StringRef(argument).starts_with("aarch64"))
			know_all_targets();
	all.push_back("kernel.c");
	auto clang = std::make_unique<frontend>();
	bool good = false, crashed;
	*bytes = nullptr;
	*size = 0;
	reported.clear();
	{
		recovery installed;
		CrashRecoveryContext context;
		crashed = !context.RunSafely([&] { good = clang->run(text, all); });
	}
	if (crashed) {
		*diagnostics = copy_text(clang->messages + "the compiler crashed" +
		                         (reported.empty() ? "" : ": ") + reported + "\n");
		clang.release(); /* in an unknown state: leaked */
		return 2;
	}
	*diagnostics = copy_text(clang->messages);
	if (!good)
		return 1;
	*bytes = malloc(clang->object.size());
	if (!*bytes)
		return 1;
	memcpy(*bytes, clang->object.data(), clang->object.size());
	*size = clang->object.size();
	return 0;
}

void remove(orc::JITDylib &dylib)
{
	auto &session = process_jit->lljit->getExecutionSession();
	if (auto error = session.removeJITDylib(dylib))
		consumeError(std::move(error));
	session.getSymbolStringPool()->clearDeadEntries();
}

Error link(loaded &module, std::unique_ptr<MemoryBuffer> object)
{
	auto &session = process_jit->lljit->getExecutionSession();
	auto interface = orc::getObjectFileInterface(session, object->getMemBufferRef());
	if (!interface)
		return interface.takeError();
	orc::SymbolLookupSet wanted;
	for (auto &symbol : interface->SymbolFlags)
		wanted.add(symbol.first);
	auto &layer = process_jit->lljit->getObjLinkingLayer();
	if (auto error = layer.add(*module.dylib, std::move(object), std::move(*interface)))
		return error;
	/* Looking its symbols up is what links it. */
	auto found = session.lookup(orc::makeJITDylibSearchOrder(module.dylib), std::move(wanted));
	if (!found)
		return found.takeError();
	for (auto &symbol : *found)
		module.symbols[(*symbol.first).str()] = symbol.second.getAddress().toPtr<void *>();
	return Error::success();
}

void *load(const void *bytes, size_t size, char **diagnostics)
{
	*diagnostics = nullptr;
	reported.clear();
	auto &session = process_jit->lljit->getExecutionSession();
	auto &dylib = session.createBareJITDylib("kernel" + std::to_string(process_jit->count++));
	dylib.addToLinkOrder(*process_jit->names);
	auto module = std::make_unique<loaded>(loaded{&dylib, {}});
	auto object =
	        MemoryBuffer::getMemBufferCopy(StringRef(static_cast<const char *>(bytes), size), "kernel.o");
	if (auto error = link(*module, std::move(object))) {
		*diagnostics = copy_text(reported + toString(std::move(error)) + "\n");
		remove(dylib);
		return nullptr;
	}
	return module.release();
}

void *symbol(const void *module, const char *name)
{
	auto &symbols = static_cast<const loaded *>(module)->symbols;
	auto found = symbols.find(StringRef(name));
	return found == symbols.end() ? nullptr : found->second;
}

void unload(void *module)
{
	std::unique_ptr<loaded> m(static_cast<loaded *>(module));
	remove(*m->dylib);
}

Error make_jit(const struct name *names)
{
	InitializeNativeTarget();
	InitializeNativeTargetAsmPrinter();
	InitializeNativeTargetAsmParser();
	orc::JITTargetMachineBuilder machine{Triple(sys::getProcessTriple())};
	auto lljit = orc::LLJITBuilder()
	                     .setJITTargetMachineBuilder(machine)
	                     .setNumCompileThreads(0)
	                     .setPlatformSetUp(orc::setUpInactivePlatform)
	                     .create();
	if (!lljit)
		return lljit.takeError();
	auto made = std::make_unique<jit>();
	made->lljit = std::move(*lljit);
	auto &session = made->lljit->getExecutionSession();
	session.setErrorReporter([](Error error) { reported += toString(std::move(error)) + "\n"; });
	made->names = &session.createBareJITDylib("names");
	orc::SymbolMap symbols;
	for (; names->name; names++)
		symbols[session.intern(names->name)] = {orc::ExecutorAddr::fromPtr(names->address),
		                                        JITSymbolFlags::Exported | JITSymbolFlags::Callable};
	if (auto error = made->names->define(orc::absoluteSymbols(std::move(symbols))))
		return error;
	process_jit = made.release();
	return Error::success();
}

} // namespace

extern "C" const struct clang_shim *attune_clang_shim(const struct name *names, char **diagnostics)
{
	static std::mutex mutex;
	static const std::string version = clang::getClangFullVersion();
	static const struct clang_shim table = {CLANG_SHIM_ABI, version.c_str(), compile,
	                                        load,           symbol,          unload};
	std::lock_guard<std::mutex> lock(mutex);
	*diagnostics = nullptr;
	if (!process_jit)
		if (auto error = make_jit(names)) {
			*diagnostics = copy_text(toString(std::move(error)));
			return nullptr;
		}
	return &table;
}
