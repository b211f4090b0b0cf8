//go:build !purego && !race

#include "go_asm.h"
#include "textflag.h"

// Sixteen bytes each, in one block, which the linker puts at a place that is a multiple of 32.
DATA digits<>+0(SB)/8, $0x0706050403020100 // first: where the digits 0 to 13 of a UUID stand in its bytes 0 to 15
DATA digits<>+8(SB)/8, $0x80800f0e0c0b0a09
DATA digits<>+16(SB)/8, $0x0b0a090806050403 // second: where the digits 16 to 27 stand in its bytes 16 to 31
DATA digits<>+24(SB)/8, $0x808080800f0e0d0c
DATA digits<>+32(SB)/8, $0x3939393939393939 // nine: the largest digit that is no letter
DATA digits<>+40(SB)/8, $0x3939393939393939
DATA digits<>+48(SB)/8, $0x0909090909090909 // letter: what is added to a letter
DATA digits<>+56(SB)/8, $0x0909090909090909
DATA digits<>+64(SB)/8, $0x3736353433323130 // text: the digits
DATA digits<>+72(SB)/8, $0x6665646362613938
DATA digits<>+80(SB)/8, $0x0f0f0f0f0f0f0f0f // low: the bits of a digit's value
DATA digits<>+88(SB)/8, $0x0f0f0f0f0f0f0f0f
DATA digits<>+96(SB)/8, $0x0110011001100110 // pair: the weights of two digits that make a byte
DATA digits<>+104(SB)/8, $0x0110011001100110
GLOBL digits<>(SB), RODATA|NOPTR, $112

// PACK reads the 36 bytes at SI into X5, R8 and R9, or jumps to no. It is packUUID.
#define PACK(no) \
	CMPB 8(SI), $0x2d; JNE no; \
	CMPB 13(SI), $0x2d; JNE no; \
	CMPB 18(SI), $0x2d; JNE no; \
	CMPB 23(SI), $0x2d; JNE no; \
	MOVOU (SI), X0; \
	MOVOU 16(SI), X1; \
	MOVL 32(SI), CX; \
	MOVQ CX, X3; \
	MOVO X1, X2; \
	PSLLO $14, X2; \
	PSHUFB digits<>+0(SB), X0; \
	POR X2, X0; \
	PSHUFB digits<>+16(SB), X1; \
	PSLLO $12, X3; \
	POR X3, X1; \
	MOVO digits<>+32(SB), X4; \
	MOVO digits<>+48(SB), X6; \
	MOVO X0, X5; PCMPGTB X4, X5; PAND X6, X5; PADDB X0, X5; \
	MOVO X1, X9; PCMPGTB X4, X9; PAND X6, X9; PADDB X1, X9; \
	MOVO digits<>+64(SB), X8; \
	MOVO X8, X10; PSHUFB X5, X10; PCMPEQB X0, X10; \
	PSHUFB X9, X8; PCMPEQB X1, X8; PAND X10, X8; \
	PMOVMSKB X8, CX; CMPL CX, $0xffff; JNE no; \
	MOVO digits<>+80(SB), X7; \
	PAND X7, X5; PAND X7, X9; \
	MOVO digits<>+96(SB), X7; \
	PMADDUBSW X7, X5; PMADDUBSW X7, X9; PACKUSWB X9, X5; \
	MOVQ X5, R8; PEXTRQ $1, X5, R9

// HASH is uuid.hash of R8 and R9 with the seed in BX, in AX.
#define HASH \
	MOVQ $0x6782737bea4239b9, AX; ADDQ BX, AX; XORQ R8, AX; \
	MOVQ $0xaf56bc3b0996523a, CX; SUBQ BX, CX; XORQ R9, CX; \
	MOVQ AX, BX; BSWAPQ BX; LEAQ 16(BX)(CX*1), BX; \
	MULQ CX; XORQ DX, AX; ADDQ BX, AX; \
	MOVQ AX, BX; SHRQ $37, BX; XORQ BX, AX; \
	MOVQ $0x165667919e3779f9, BX; IMULQ BX, AX; \
	MOVQ AX, BX; SHRQ $32, BX; XORQ BX, AX

// func hashUUID(text *byte, seed uint64) (u uuid, hash uint64, ok bool)
TEXT ·hashUUID(SB), NOSPLIT, $0-41
	CMPB ·vectors(SB), $1
	JNE no
	MOVQ text+0(FP), SI
	PACK(no)
	MOVQ seed+8(FP), BX
	HASH
	MOVQ R8, u_lo+16(FP)
	MOVQ R9, u_hi+24(FP)
	MOVQ AX, hash+32(FP)
	MOVB $1, ok+40(FP)
	RET
no:
	MOVB $0, ok+40(FP)
	RET

// func prefetch(at unsafe.Pointer)
TEXT ·prefetch(SB), NOSPLIT, $0-8
	MOVQ at+0(FP), AX
	PREFETCHT0 (AX)
	RET

// func prefetchAll(at unsafe.Pointer, n int)
TEXT ·prefetchAll(SB), NOSPLIT, $0-16
	MOVQ at+0(FP), AX
	MOVQ n+8(FP), CX
	ADDQ AX, CX
line:
	PREFETCHT0 (AX)
	ADDQ $64, AX
	CMPQ AX, CX
	JCS line
	RET

// func seekUUID(t *table, text *byte, seed uint64, kind KindNumber) (p *page, at int, u uuid, hash uint64)
TEXT ·seekUUID(SB), NOSPLIT, $0-72
	CMPB ·vectors(SB), $1
	JNE no
	MOVQ text+8(FP), SI
	PACK(no)
	MOVQ seed+16(FP), BX
	HASH
	MOVQ R8, u_lo+48(FP)
	MOVQ R9, u_hi+56(FP)
	MOVQ AX, hash+64(FP)

	// The bucket, as table.bucket.
	MOVQ t+0(FP), DI
	MOVQ table_mask(DI), CX
	MOVQ AX, BX
	ANDQ CX, BX
	MOVQ BX, DX
	SUBQ table_buckets(DI), DX
	SARQ $63, DX
	SHRQ $1, CX
	ORQ CX, DX
	ANDQ DX, BX

	// Its page, as table.page.
	MOVQ table_root(DI), DI
	MOVQ BX, CX
	SHRQ $(const_chunkBits+const_branchBits), CX
	MOVQ (DI)(CX*8), DI
	MOVQ BX, CX
	SHRQ $const_chunkBits, CX
	ANDQ $(const_branchChunks-1), CX
	MOVQ branch_chunk(DI)(CX*8), DI
	ANDQ $(const_chunkPages-1), BX
	MOVQ chunk_page(DI)(BX*8), DI
	MOVQ DI, p+32(FP)
	TESTQ DI, DI
	JZ none
	PREFETCHT0 64(DI)
	PREFETCHT0 128(DI)
	PREFETCHT0 192(DI)

	// The records with the tag.
	MOVQ (DI), CX
	TESTL $const_headMixed, CX
	JNZ other
	ANDL $const_headCount, CX
	CMPL CX, $16
	JA other
	SHRQ $56, AX
	MOVQ AX, X0
	PXOR X1, X1
	PSHUFB X1, X0
	MOVOU const_pageHeadBytes(DI), X2
	PCMPEQB X2, X0
	PMOVMSKB X0, BX
	MOVL $1, DX
	SHLL CX, DX
	DECL DX
	ANDL DX, BX
	MOVWLZX kind+24(FP), R10
next:
	BSFL BX, CX
	JZ none
	SHLQ $5, CX
	MOVOU (32+const_recordHeaderBytes)(DI)(CX*1), X2
	PCMPEQB X5, X2
	PMOVMSKB X2, SI
	MOVWLZX (32+2)(DI)(CX*1), R11
	CMPL SI, $0xffff
	JNE skip
	CMPL R10, R11
	JNE skip
	ADDQ $32, CX
	MOVQ CX, at+40(FP)
	RET
skip:
	LEAL -1(BX), CX
	ANDL CX, BX
	JMP next
none:
	MOVQ $0, at+40(FP)
	RET
other:
	MOVQ $const_seekInPage, at+40(FP)
	RET
no:
	MOVQ $0, p+32(FP)
	MOVQ $const_seekNot, at+40(FP)
	RET
