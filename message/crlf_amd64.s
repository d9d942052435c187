#include "textflag.h"

// func crlfAVX2(dst *byte, free int, text *byte, n, from int) (read, written int)
TEXT ·crlfAVX2(SB), NOSPLIT, $0-56
	MOVQ dst+0(FP), DI
	MOVQ free+8(FP), DX
	SUBQ $34, DX               // the last start of a step: 32 octets and what an LF adds
	MOVQ text+16(FP), SI
	MOVQ n+24(FP), CX
	SUBQ $32, CX               // the last start of a step
	MOVQ from+32(FP), AX
	XORQ BX, BX
	MOVL $0x0a, R8
	VMOVD R8, X1
	VPBROADCASTB X1, Y1        // LFs

step:
	CMPQ AX, CX
	JGT  done
	CMPQ BX, DX
	JGT  done
	VMOVDQU (SI)(AX*1), Y0
	VMOVDQU Y0, (DI)(BX*1)
	VPCMPEQB Y0, Y1, Y2
	VPMOVMSKB Y2, R8
	TESTL R8, R8
	JNZ  lf
	ADDQ $32, AX
	ADDQ $32, BX
	JMP  step

lf:
	BSFL R8, R8
	ADDQ R8, AX
	ADDQ R8, BX
	TESTQ AX, AX
	JZ   bare
	CMPB -1(SI)(AX*1), $0x0d
	JEQ  ended

bare:
	MOVW $0x0a0d, (DI)(BX*1)
	ADDQ $2, BX
	INCQ AX
	JMP  step

ended:
	MOVB $0x0a, (DI)(BX*1)
	INCQ BX
	INCQ AX
	JMP  step

done:
	VZEROUPPER
	MOVQ AX, read+40(FP)
	MOVQ BX, written+48(FP)
	RET
